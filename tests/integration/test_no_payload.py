"""Nothing that is sent is recorded: a word in every field of every RPC is in no span, no metric and no log line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from deploy.models import render
from deploy.models.catalog import Labels, load_catalog
from services.mesh.models import ModelCard
from services.mesh.server import serving
from services.mesh.testing import FakePreprocessor, known_models
from services.models import app as models_service
from services.models.pipelines.rollouts import Rollouts
from services.nlp import app as nlp
from services.preprocessing import app as preprocessing
from services.preprocessing.pipelines.workers import Workers
from services.router import app as router
from services.router.settings import Settings as RouterSettings
from services.speech import app as speech
from services.vision import app as vision
from tests.e2e.edges import MODULES
from tests.integration.preproc_service import pipelines
from tests.integration.router_mesh import settings
from tests.integration.test_triton_adapter import Triton, triton
from tests.unit.models.fakes import FakeFleet, FakeReplica, Memory

# A word that also a tenant may be called.
CANARY = "xyzzy-plugh-canary"
_DEPTH = 5
CATALOG = Path(render.__file__).parent / "catalog"

RPCS = [
    method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def cards() -> list[ModelCard]:
    """Of all models that there are."""
    found = []
    for model in load_catalog(CATALOG):
        facts = render.card(model, Labels([], []), {})
        if facts:
            found.append(ModelCard.model_validate({**facts, "name": model.name, "version": "1", "max_batch_size": 8}))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channels(tmp_path_factory):
    """To the real services, on models that refuse everything, by the first word of the package."""
    fleet = FakeFleet([FakeReplica("a", {1: (0, 0.1)})])
    models, preprocessor = await known_models(*cards()), FakePreprocessor()
    async with AsyncExitStack() as stack:
        # It says back what it was given, as models may.
        complaint = f"[INVALID_ARGUMENT] cannot read {CANARY}\n{CANARY}"
        inference = await stack.enter_async_context(
            triton(Triton(failure=(grpc.StatusCode.INVALID_ARGUMENT, complaint)))
        )
        workers = stack.enter_context(Workers(threads=2, max_waiting=8))
        servicers = {
            "nlp": nlp.servicer(inference, preprocessor, models),
            "vision": vision.servicer(inference, preprocessor, models),
            "speech": speech.servicer(inference, preprocessor, models),
            "preprocessing": preprocessing.servicer(await pipelines(workers)),
            "models": models_service.servicer(fleet, Rollouts(fleet, Memory())),
        }
        ports = {
            name: await stack.enter_async_context(serving([servicer], settings(0)))
            for name, servicer in servicers.items()
        }
        addresses = {f"{name}_address": f"127.0.0.1:{port}" for name, port in ports.items()}
        store = f"sqlite:///{tmp_path_factory.mktemp('store')}/graphs.db"
        whole = settings(0, RouterSettings, **addresses, store_url=store)
        routing = await stack.enter_async_context(router.app(whole))
        ports["router"] = await stack.enter_async_context(serving(routing, whole))
        yield {
            name: await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            for name, port in ports.items()
        }


def filled(kind: Descriptor, choice: int, depth: int = 0) -> Message:
    """A message with the word in all its texts and bytes. choice: which of the fields of each oneof it has."""
    message = GetMessageClass(kind)()
    for field in kind.fields:
        oneof = field.containing_oneof
        if oneof is None or len(oneof.fields) == 1 or oneof.fields[choice % len(oneof.fields)] is field:
            put(message, field, choice, depth)
    return message


def put(message: Message, field: FieldDescriptor, choice: int, depth: int) -> None:
    """The word, or something that holds it, into a field."""
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        value = CANARY.encode() if field.type == field.TYPE_BYTES else CANARY
        getattr(message, field.name).append(value) if field.is_repeated else setattr(message, field.name, value)
    elif field.message_type is None or depth == _DEPTH or field.message_type.full_name.startswith("google."):
        return
    elif field.message_type.GetOptions().map_entry:
        kind = field.message_type.fields_by_name["value"]
        if kind.message_type:
            getattr(message, field.name)[CANARY].CopyFrom(filled(kind.message_type, choice, depth + 1))
    elif field.is_repeated:
        getattr(message, field.name).append(filled(field.message_type, choice, depth + 1))
    else:
        getattr(message, field.name).CopyFrom(filled(field.message_type, choice, depth + 1))


def requests(method: MethodDescriptor) -> Iterator[list[Message]]:
    """What to send in one call each: everything at once, each field alone, a stream's messages one after the other."""
    kind = method.input_type
    choices = max((len(each.fields) for each in kind.oneofs), default=1)
    if method.client_streaming:
        yield [filled(kind, choice) for choice in range(choices)]
        empty = GetMessageClass(kind)()
        put(empty, kind.fields_by_name["config"], 0, _DEPTH - 1)
        yield [empty, *(filled(kind, choice) for choice in range(1, choices))]
        return
    for choice in range(max(choices, 2)):
        yield [filled(kind, choice)]
    for field in kind.fields:
        alone = GetMessageClass(kind)()
        put(alone, field, 0, 0)
        yield [alone]


async def call(channel: grpc.aio.Channel, method: MethodDescriptor, messages: list[Message]) -> bool:
    """Make the call and read its answer, or its error. Whether it was answered."""
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    rpc = kinds[method.client_streaming, method.server_streaming](
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )

    async def each():
        for message in messages:
            yield message

    running = rpc(
        each() if method.client_streaming else messages[0],
        timeout=10,
        metadata=[("maas-tenant", CANARY), ("x-canary", CANARY), ("maas-timing", "1")],
    )
    try:
        if method.server_streaming:
            async for _ in running:
                pass
        else:
            await running
    except grpc.aio.AioRpcError:
        return False
    return True


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("method", RPCS, ids=lambda method: method.name)
async def test_nothing_of_a_request_is_recorded(channels, spans, measured, written, method):
    """However it is sent and whatever becomes of it."""
    name = f"{method.containing_service.full_name}/{method.name}"
    count = 0
    for messages in requests(method):
        await call(channels[method.full_name.split(".")[1]], method, messages)
        count += 1
    async with asyncio.timeout(10):
        while sum(json.loads(line).get("method") == name for line in written.getvalue().splitlines()) < count:
            await asyncio.sleep(0.01)
    found = spans.get_finished_spans()
    assert [span for span in found if span.name == name]
    assert [span.name for span in found if CANARY in span.to_json()] == []
    assert [line for line in written.getvalue().splitlines() if CANARY in line] == []
    assert measured.added("rpc_server_call_duration_seconds_count", rpc_method=name) >= count
    assert measured.saying(CANARY) == []
