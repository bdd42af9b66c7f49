"""The adapter to Triton against a server that speaks Triton's protocol, over a real socket."""

import asyncio
import json
import time
from contextlib import aclosing, asynccontextmanager

import grpc
import numpy as np
import pytest
from opentelemetry import trace
from tritonclient.grpc import model_config_pb2, service_pb2_grpc
from tritonclient.grpc import service_pb2 as pb

from services.mesh import errors, kserve
from services.mesh.deadline import Deadline
from services.mesh.priority import low_priority
from services.mesh.settings import TritonSettings
from services.mesh.triton import EXECUTION_NS, open_triton


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Gives each wanted tensor back from the inputs; or fails, or waits."""

    def __init__(self, *, failure=None, wait=False, pieces=()):
        self.failure = failure
        self.wait = wait
        self.requests = []
        self.entered = asyncio.Event()
        self.leave = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False
        self.pieces = pieces
        self.ready = True
        self.live = True
        self.asked_live = asyncio.Event()
        self.models = {}
        self.outputs = []
        self.times = None

    async def ModelInfer(self, request, context):
        self.requests.append(request)
        self.entered.set()
        try:
            if self.wait:
                await self.leave.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()
        if self.failure:
            await context.abort(*self.failure)
        given = dict(zip((tensor.name for tensor in request.inputs), range(99), strict=False))
        response = pb.ModelInferResponse(model_name=request.model_name)
        for output in request.outputs:
            if output.name == EXECUTION_NS:
                response.outputs.add(name=EXECUTION_NS, datatype="INT64", shape=[1, 2])
                times = self.times or (time.time_ns(), time.time_ns())
                response.raw_output_contents.append(np.int64([times]).tobytes())
                continue
            tensor = request.inputs[given[output.name]]
            response.outputs.add(name=output.name, datatype=tensor.datatype, shape=tensor.shape)
            response.raw_output_contents.append(request.raw_input_contents[given[output.name]])
        return response

    async def ModelStreamInfer(self, requests, context):
        async for request in requests:
            self.requests.append(request)
            self.metadata = dict(context.invocation_metadata())
            self.entered.set()
            try:
                for number, piece in enumerate(self.pieces, 1):
                    yield streamed(piece, final=number == len(self.pieces) and not self.wait)
                if self.wait:
                    await self.leave.wait()
                if self.failure:
                    yield pb.ModelStreamInferResponse(error_message=self.failure)
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            finally:
                self.ended.set()

    async def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=self.ready)

    async def ServerLive(self, request, context):
        self.asked_live.set()
        return pb.ServerLiveResponse(live=self.live)

    async def RepositoryIndex(self, request, context):
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(name=name, version=version, state=state)
                for name, (version, state, _) in self.models.items()
            ]
        )

    async def ModelConfig(self, request, context):
        self.requests.append(request)
        config = model_config_pb2.ModelConfig(name=request.name, max_batch_size=4)
        config.output.extend(model_config_pb2.ModelOutput(name=name) for name in self.outputs)
        card = self.models[request.name][2]
        if card is not None:
            config.parameters["maas"].string_value = json.dumps(card)
        return pb.ModelConfigResponse(config=config)


def streamed(piece, *, final):
    response = pb.ModelInferResponse(model_name="m", raw_output_contents=[kserve.encode(texts(piece))])
    response.outputs.add(name="text", datatype="BYTES", shape=[1])
    response.parameters["triton_final_response"].bool_param = final
    return pb.ModelStreamInferResponse(infer_response=response)


def texts(text):
    return np.array([text.encode()], object)


@asynccontextmanager
async def triton(implementation, **settings):
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(implementation, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with open_triton(TritonSettings(triton_address=f"127.0.0.1:{port}", **settings)) as inference:
            yield inference
    finally:
        await server.stop(0)


def infer(inference, seconds=5.0, **inputs):
    inputs = inputs or {"x": np.int32([1])}
    return inference.infer("m", inputs, list(inputs), deadline=Deadline.after(seconds))


async def test_tensors_survive_the_way_there_and_back():
    """Each type, texts of any length included, comes back as it was sent."""
    sent = {
        "flag": np.array([True, False]),
        "pixels": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
        "whole": np.int32([[1, -2]]),
        "ids": np.int64([[1], [2]]),
        "real": np.float32([0.5]),
        "texts": np.array([[b"", "héllo".encode()]], dtype=object),
    }
    async with triton(Triton()) as inference:
        got = await infer(inference, **sent)
    assert got.keys() == sent.keys()
    for name, array in sent.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array)


async def test_the_time_that_remains_bounds_triton_s_queue():
    """The request carries what is left of the deadline, in microseconds, as Triton's queue time-out."""
    implementation = Triton()
    async with triton(implementation) as inference:
        await infer(inference, seconds=2)
    assert 0 < implementation.requests[0].parameters["timeout"].int64_param <= 2_000_000


async def test_a_deadline_does_not_reach_a_server_that_cannot_bear_it():
    """At the deadline the caller has its error, while Triton finishes undisturbed and its answer is dropped."""
    implementation = Triton(wait=True)
    async with triton(implementation) as inference:
        with pytest.raises(errors.DeadlineExceeded):
            await infer(inference, seconds=0.2)
        assert not implementation.ended.is_set()
        implementation.leave.set()
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert not implementation.cancelled


async def test_a_cancellation_does_not_reach_it_either():
    """A caller that gives up is free at once, while Triton finishes undisturbed."""
    implementation = Triton(wait=True)
    async with triton(implementation) as inference:
        task = asyncio.create_task(infer(inference))
        await asyncio.wait_for(implementation.entered.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not implementation.ended.is_set()
        implementation.leave.set()
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert not implementation.cancelled


async def test_a_newer_server_gets_the_cancellation():
    """With triton_cancellation the call is cancelled in Triton too."""
    implementation = Triton(wait=True)
    async with triton(implementation, triton_cancellation=True) as inference:
        task = asyncio.create_task(infer(inference))
        await asyncio.wait_for(implementation.entered.wait(), 5)
        task.cancel()
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert implementation.cancelled


async def test_abandoned_calls_are_bounded():
    """Calls that nobody waits for count until they end; beyond the limit new ones are refused at once."""
    implementation = Triton(wait=True)
    async with triton(implementation, triton_max_inflight=2) as inference:
        for _ in range(2):
            with pytest.raises(errors.DeadlineExceeded):
                await infer(inference, seconds=0.05)
        with pytest.raises(errors.Exhausted):
            await infer(inference)
        implementation.wait = False
        implementation.leave.set()
        await inference.drain()
        await infer(inference)


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", errors.Exhausted),
        (grpc.StatusCode.UNAVAILABLE, "Request timeout expired", errors.DeadlineExceeded),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'm' has no available versions", errors.Unavailable),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'm' is not found", errors.NotFound),
        (grpc.StatusCode.INTERNAL, "Stub process 'm' is not healthy.", errors.Unavailable),
        (grpc.StatusCode.INTERNAL, "Traceback: /secret/model.py", errors.Internal),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'x'", errors.Internal),
    ],
)
async def test_triton_s_errors_in_our_words(code, text, error):
    """Each failure of Triton has its error, and its own text stays inside."""
    async with triton(Triton(failure=(code, text))) as inference:
        with pytest.raises(errors.MeshError) as caught:
            await infer(inference)
    assert type(caught.value) is error
    assert text not in caught.value.message
    assert caught.value.metadata == {"model": "m"}


async def test_triton_that_is_gone_is_unavailable():
    """A connection that cannot be made is Unavailable with a time to retry."""
    async with open_triton(TritonSettings(triton_address="127.0.0.1:1")) as inference:
        with pytest.raises(errors.Unavailable) as caught:
            await infer(inference)
        assert caught.value.retry_after_seconds
        with pytest.raises(errors.Unavailable):
            await inference.list_models({})


async def test_low_priority_waits_for_all_others():
    """While a call is under way another goes beside it, and one of low priority only after both."""
    implementation = Triton(wait=True)

    async def unhurried(inference):
        with low_priority():
            await infer(inference, low=np.int32([1]))

    async with triton(implementation) as inference:
        calls = [asyncio.create_task(infer(inference))]
        await asyncio.wait_for(implementation.entered.wait(), 5)
        low = asyncio.create_task(unhurried(inference))
        await asyncio.sleep(0)
        implementation.entered.clear()
        calls.append(asyncio.create_task(infer(inference)))
        await asyncio.wait_for(implementation.entered.wait(), 5)
        assert [request.inputs[0].name for request in implementation.requests] == ["x", "x"]
        implementation.leave.set()
        await asyncio.gather(low, *calls)
    assert [request.inputs[0].name for request in implementation.requests] == ["x", "x", "low"]


def stream(inference, seconds=5.0):
    return inference.stream("m", {"x": np.int32([1])}, ["text"], deadline=Deadline.after(seconds))


async def read(pieces):
    return [piece["text"].item().decode() async for piece in pieces]


async def test_a_stream_gives_each_piece():
    """Pieces come one by one as they were sent, the last one too, and the wanted outputs are named in the request."""
    implementation = Triton(pieces=["a", "", "é"])
    async with triton(implementation) as inference:
        assert await read(stream(inference)) == ["a", "", "é"]
    assert [output.name for output in implementation.requests[0].outputs] == ["text"]


async def test_closing_a_stream_cancels_it_in_triton():
    """Who stops reading ends the execution, without waiting for the next piece."""
    implementation = Triton(pieces=["a", "b"], wait=True)
    async with triton(implementation) as inference:
        async with aclosing(stream(inference)) as pieces:
            assert (await anext(pieces))["text"].item() == b"a"
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert implementation.cancelled


async def test_cancelling_the_reader_cancels_it_in_triton():
    """A task that is cancelled while it waits for a piece ends the execution too."""
    implementation = Triton(wait=True)
    async with triton(implementation) as inference:
        task = asyncio.create_task(read(stream(inference)))
        await asyncio.wait_for(implementation.entered.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert implementation.cancelled


async def test_a_stream_ends_at_the_deadline():
    """When the time is over the caller has its error after the pieces that came, and Triton stops as well."""
    implementation = Triton(pieces=["a"], wait=True)
    async with triton(implementation) as inference:
        pieces = stream(inference, seconds=0.5)
        assert (await anext(pieces))["text"].item() == b"a"
        with pytest.raises(errors.DeadlineExceeded):
            await anext(pieces)
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert implementation.cancelled


async def test_a_stream_whose_model_process_is_gone():
    """Triton never ends the stream of a process that was killed; it is given up when the model is not ready."""
    implementation = Triton(pieces=["a", "b"], wait=True)
    implementation.ready = False
    async with triton(implementation) as inference:
        with pytest.raises(errors.Unavailable, match="loading or restarting"):
            await read(stream(inference))
        await asyncio.wait_for(implementation.ended.wait(), 5)
    assert implementation.cancelled


async def test_streams_are_bounded():
    """An open stream counts as a call under way until it is closed."""
    implementation = Triton(pieces=["a", "b"], wait=True)
    async with triton(implementation, triton_max_inflight=1) as inference:
        async with aclosing(stream(inference)) as pieces:
            await anext(pieces)
            with pytest.raises(errors.Exhausted):
                await read(stream(inference))
        implementation.wait = False
        assert await read(stream(inference)) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("exceeds maximum queue size", errors.Exhausted),
        ("Request timeout expired", errors.DeadlineExceeded),
        ("Request for unknown model: 'm' has no available versions", errors.Unavailable),
        ("Request for unknown model: 'm' is not found", errors.NotFound),
        ("Stub process 'm' is not healthy.", errors.Unavailable),
        ("Traceback: /secret/model.py", errors.Internal),
    ],
)
async def test_an_error_inside_a_stream_in_our_words(text, error):
    """Triton's bare words inside a stream have their error after the pieces before them, and stay inside."""
    async with triton(Triton(failure=text, pieces=["a"])) as inference:
        pieces = stream(inference)
        with pytest.raises(errors.MeshError) as caught:
            await read(pieces)
    assert type(caught.value) is error
    assert text not in caught.value.message
    assert caught.value.metadata == {"model": "m"}


async def test_a_model_s_complaint_reaches_the_caller():
    """What a model of ours says is wrong with a request is passed on, whatever Triton puts before it."""
    words = "Failed to process: [INVALID_ARGUMENT] the prompt has 5000 tokens, at most 4096 are read"
    async with triton(Triton(failure=words)) as inference:
        with pytest.raises(errors.InvalidArgument, match=r"^model 'm': the prompt has 5000 tokens, at most 4096"):
            await read(stream(inference))


async def test_a_stream_is_one_span(spans):
    """The span covers the stream, tells when the first piece came, and is no parent of what its reader does."""
    implementation = Triton(pieces=["a", "b"])
    async with triton(implementation) as inference:
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("caller"):
            async for _ in stream(inference):
                tracer.start_span("work").end()
    found = {span.name: span for span in spans.get_finished_spans()}
    call = found["inference.GRPCInferenceService/ModelStreamInfer"]
    assert [event.name for event in call.events] == ["first response"]
    assert call.attributes["maas.model"] == "m"
    assert call.attributes["rpc.response.status_code"] == "OK"
    assert found["work"].parent.span_id == call.parent.span_id == found["caller"].context.span_id
    assert f"{call.context.span_id:016x}" in implementation.metadata["traceparent"]


@pytest.mark.parametrize(("failure", "code"), [("exceeds maximum queue size", "RESOURCE_EXHAUSTED"), ("x", "INTERNAL")])
async def test_a_failed_stream_is_a_failed_span(spans, failure, code):
    """The span has the status of the error that the caller gets."""
    async with triton(Triton(failure=failure)) as inference:
        with pytest.raises(errors.MeshError):
            await read(stream(inference))
    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == code


async def test_queue_and_compute_are_spans_of_triton(spans):
    """The times that a model returns become two spans of service "triton" under the call's span."""
    implementation = Triton()
    implementation.models = {"m": ("1", "READY", {"task": "t", "summary": "S."})}
    implementation.outputs = [EXECUTION_NS]
    async with triton(implementation) as inference:
        await inference.list_models({})
        with trace.get_tracer("test").start_as_current_span("caller"):
            got = await infer(inference)
    found = {span.name: span for span in spans.get_finished_spans()}
    call, queue, compute = (
        found[name] for name in ("inference.GRPCInferenceService/ModelInfer", "triton queue", "triton compute")
    )
    assert EXECUTION_NS not in got
    assert queue.start_time <= queue.end_time == compute.start_time <= compute.end_time <= call.end_time
    for span in (compute, queue):
        assert span.resource.attributes["service.name"] == "triton"
        assert span.parent.span_id == call.context.span_id


async def test_a_model_without_times_is_not_asked_for_them(spans):
    """A traced call of a model that does not tell when it ran succeeds, without spans of Triton's own."""
    implementation = Triton()
    implementation.models = {"m": ("1", "READY", {"task": "t", "summary": "S."})}
    async with triton(implementation) as inference:
        await inference.list_models({})
        await infer(inference)
    assert [output.name for output in implementation.requests[-1].outputs] == ["x"]
    assert [span.name for span in spans.get_finished_spans()] == ["inference.GRPCInferenceService/ModelInfer"]


async def test_models_are_listed_with_their_catalog_entry():
    """Models with an entry are listed, those without are not, and a known one is not asked for again."""
    implementation = Triton()
    card = {"task": "t", "summary": "S.", "labels": ["x"]}
    implementation.models = {
        "a": ("1", "READY", card),
        "loading": ("1", "LOADING", card),
        "plain": ("1", "READY", None),
    }
    async with triton(implementation) as inference:
        cards, ready = await inference.list_models({})
        asked = len(implementation.requests)
        again, _ = await inference.list_models(cards)
    assert (list(cards), ready) == (["a"], {"a"})
    assert cards["a"].labels == ("x",)
    assert cards["a"].max_batch_size == 4
    assert again["a"] is cards["a"]
    assert [request.name for request in implementation.requests[asked:]] == ["plain"]


TIMED = {"task": "t", "summary": "T."}


async def test_a_call_of_a_model_is_counted(measured):
    """How often, with which outcome, how many items, and how long it waited and computed where the model tells."""
    server = Triton()
    server.models, server.outputs = {"m": ("1", "READY", TIMED)}, [EXECUTION_NS]
    server.times = 2_000, 5_000
    async with triton(server) as inference:
        await inference.list_models({})
        await infer(inference, x=np.int32([[1], [2], [3]]))
        server.failure = (grpc.StatusCode.UNAVAILABLE, "in a queue that exceeds maximum queue size")
        with pytest.raises(errors.Exhausted):
            await infer(inference)
    calls = "maas_model_call_duration_seconds_count"
    assert measured.added(calls, maas_model="m", rpc_response_status_code="OK") == 1
    assert measured.added(calls, maas_model="m", rpc_response_status_code="RESOURCE_EXHAUSTED") == 1
    assert measured.added("maas_model_batch_size_sum", maas_model="m") == 3 + 1
    assert measured.added("maas_model_queue_duration_seconds_count", maas_model="m") == 1
    assert measured.added("maas_model_compute_duration_seconds_sum", maas_model="m") == pytest.approx(3e-6)
    # What a client of Triton sees of the same calls.
    clients = {"rpc_method": "inference.GRPCInferenceService/ModelInfer"}
    assert measured.added("rpc_client_call_duration_seconds_count", **clients) == 2


async def test_calls_under_way_are_told(measured):
    """By model, until Triton has answered; a stream counts once, also when it is left."""
    server = Triton(wait=True, pieces=["one", "two"])
    server.models = {"m": ("1", "READY", TIMED)}
    async with triton(server) as inference:
        await inference.list_models({})
        async with aclosing(inference.stream("m", {}, ["text"], deadline=Deadline.after(5))) as pieces:
            await anext(pieces)
            assert measured.now("maas_model_active_calls", maas_model="m") == 1
            assert measured.now("maas_queue_waiting", maas_queue="triton") == 1
    assert measured.now("maas_model_active_calls", maas_model="m") == 0
    calls = "maas_model_call_duration_seconds_count"
    assert measured.added(calls, maas_model="m", rpc_response_status_code="CANCELLED") == 1


async def test_a_model_that_triton_does_not_have_makes_no_series(measured):
    """Whatever it is called, it counts as "other"."""
    name = 'canary"}{\n'
    async with triton(Triton(failure=(grpc.StatusCode.NOT_FOUND, "unknown model"))) as inference:
        with pytest.raises(errors.NotFound):
            await inference.infer(name, {"x": np.int32([1])}, ["x"], deadline=Deadline.after(5))
        assert name not in measured.values("maas_model_active_calls", "maas_model")
    calls = "maas_model_call_duration_seconds_count"
    assert measured.added(calls, maas_model="other", rpc_response_status_code="NOT_FOUND") == 1
    assert not any("canary" in model for model in measured.values(calls, "maas_model"))
