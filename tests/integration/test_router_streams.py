"""StreamingRunGraph over real sockets, in front of fake services: the graph that ships, and graphs of the tests."""

import asyncio
from pathlib import Path

import grpc
import pytest

from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from tests.failure import failure, received
from tests.integration.router_mesh import SPEECH, Mesh

ROOT = Path(__file__).parents[2]
BOUND_SECONDS = 20
PRIVATE = """
name: private
summary: Lets a service see a text without names.
inputs: {text: {kind: text, summary: A text.}}
run:
  node: safe
  privacy: inputs.text
  as: masked
  run:
    node: translate
    call: maas.nlp.v1.NlpService/TranslateText
    request: {contents: "[masked]", target_language_code: '"zh"'}
  gives: translate.results[0].translated_text
outputs: {text: {value: safe, summary: The text.}}
"""


@pytest.fixture
async def mesh():
    return Mesh()


@pytest.fixture
async def stub(mesh, tmp_path):
    (tmp_path / "private.yaml").write_text(PRIVATE)
    across = "services/router/graphs/speak-across-languages.yaml"
    (tmp_path / "speak-across-languages.yaml").write_bytes((ROOT / across).read_bytes())
    async with mesh.router(graphs_directory=tmp_path) as channel, asyncio.timeout(60):
        yield router_pb2_grpc.RouterServiceStub(channel)


def config(graph="speak-across-languages", **inputs):
    return pb.StreamingRunGraphRequest(config=pb.StreamingRunGraphConfig(graph=graph, inputs=inputs))


def item(content, name="sound"):
    return pb.StreamingRunGraphRequest(item=pb.StreamItem(name=name, value=pb.Value(data=content)))


def told(answer):
    """A short word for an answer."""
    value = answer.item.value
    return "end" if answer.HasField("end") else f"{answer.item.name} {value.text or value.data.decode()}"


async def test_outputs_come_while_the_inputs_are_still_sent(stub):
    """The second sentence is only said when the first was heard, translated and spoken; half-close ends it all."""
    async with asyncio.timeout(BOUND_SECONDS):
        call = stub.StreamingRunGraph(timeout=BOUND_SECONDS)
        await call.write(config())
        for sentence in ("good", "evening"):
            await call.write(item(sentence.encode()))
            answers = sorted([told(await call.read()) for _ in range(3)])
            assert answers == [f"audio <{sentence}>", f"transcript {sentence}", f"translation <{sentence}>"]
        await call.done_writing()
        end = await call.read()
        assert await call.read() is grpc.aio.EOF
    assert {node.node: node.runs for node in end.end.nodes} == {"hear": 1, "translate": 2, "speak": 1}
    assert end.end.version


async def test_a_stream_can_be_run_whole(stub):
    """RunGraph cuts data into pieces, and gives lists, and data in one piece."""
    request = pb.RunGraphRequest(graph="speak-across-languages", inputs={"sound": pb.Value(data=b"good")})
    answer = await stub.RunGraph(request, timeout=BOUND_SECONDS)
    assert [value.text for value in answer.outputs["transcript"].list.values] == ["good"]
    assert answer.outputs["audio"].data == b"<good>"


async def test_a_failure_in_the_middle_keeps_what_came_before(stub):
    """The answers before it are delivered; the status is the service's own, naming graph and node."""
    answers: list[pb.StreamingRunGraphResponse] = []
    call = stub.StreamingRunGraph(iter([config(), item(b"good"), item(b"\xff")]))
    code, info, bad, _ = await failure(received(call, answers))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "audio_content"
    assert (info.metadata["graph"], info.metadata["node"]) == ("speak-across-languages", "hear")
    assert set(map(told, answers)) <= {"transcript good", "translation <good>", "audio <good>"}


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "config"),
        ([item(b"x")], "config"),
        ([config(), config()], "config"),
        ([config(), item(b"x", "noise")], "item.name"),
        ([config(sound=pb.Value(data=b"x"))], "inputs.sound"),
        ([config(), pb.StreamingRunGraphRequest()], "streaming_request"),
    ],
)
async def test_a_wrong_message_is_refused_by_its_field(stub, requests, field):
    """INVALID_ARGUMENT names what is wrong with the stream."""
    code, _, bad, _ = await failure(received(stub.StreamingRunGraph(iter(requests), timeout=BOUND_SECONDS)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in bad.field_violations] == [field]


async def test_a_service_that_goes_ends_the_stream(mesh, stub):
    """UNAVAILABLE names the service and the node."""
    call = stub.StreamingRunGraph(timeout=BOUND_SECONDS)
    await call.write(config())
    await call.write(item(b"good"))
    await call.read()
    await mesh.stop(SPEECH)

    async def rest():
        while await call.read() is not grpc.aio.EOF:
            pass
        raise AssertionError("it ended well")

    code, info, _, _ = await failure(rest())
    assert code is grpc.StatusCode.UNAVAILABLE
    assert info.metadata["node"] in {"hear", "speak"}


async def test_a_private_text_is_not_seen(mesh, stub):
    """The service gets marks, equal ones for equal names; the caller gets the names back."""
    request = pb.RunGraphRequest(graph="private", inputs={"text": pb.Value(text="ANNA met BOB, and ANNA left")})
    answer = await stub.RunGraph(request, timeout=BOUND_SECONDS)
    assert list(mesh.nlp.request.contents) == ["[PERSON_1] met [PERSON_2], and [PERSON_1] left"]
    assert answer.outputs["text"].text == "<ANNA met BOB, and ANNA left>"


async def test_a_text_that_cannot_be_searched_is_not_let_through(mesh, stub):
    """The graph fails before the service has seen anything but the search."""
    request = pb.RunGraphRequest(graph="private", inputs={"text": pb.Value(text="nobody")})
    code, info, _, _ = await failure(stub.RunGraph(request, timeout=BOUND_SECONDS))
    assert (code, info.metadata["node"]) == (grpc.StatusCode.INTERNAL, "safe")
    assert mesh.nlp.request.DESCRIPTOR.name == "AnalyzeEntitiesRequest"


async def test_marks_of_the_caller_are_left_alone(mesh, stub):
    """A text that has a mark itself gets others."""
    request = pb.RunGraphRequest(graph="private", inputs={"text": pb.Value(text="[PERSON_1] is EVE")})
    answer = await stub.RunGraph(request, timeout=BOUND_SECONDS)
    assert list(mesh.nlp.request.contents) == ["[PERSON_1] is [PERSON_2]"]
    assert answer.outputs["text"].text == "<[PERSON_1] is EVE>"
