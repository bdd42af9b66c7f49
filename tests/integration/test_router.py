"""The router over real sockets, in front of fake services: graphs, traces, capabilities, health and reflection."""

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from opentelemetry.trace import SpanKind, StatusCode

from maas.models.v1 import models_pb2_grpc
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from maas.vision.v1 import vision_pb2
from services.mesh import errors
from services.mesh.server import Servicer, serving
from services.router import app as router_app
from tests.failure import failure
from tests.integration.router_mesh import NLP, PREPROCESSING, ROUTER, SPEECH, VISION, Mesh, settings

SERVING = health_pb2.HealthCheckResponse.SERVING
SHIPPED = sorted(path.stem for path in (Path(router_app.__file__).parent / "graphs").glob("*.yaml"))
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
BOUND_SECONDS = 20


@pytest.fixture
async def mesh():
    return Mesh()


@pytest.fixture
async def channel(mesh):
    async with mesh.router() as channel, asyncio.timeout(60):
        await until_serving(channel, "")
        yield channel


@pytest.fixture
def stub(channel):
    return router_pb2_grpc.RouterServiceStub(channel)


async def watch(channel, service):
    """The statuses of a service, as they change."""
    async for response in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service)):
        yield response.status


async def until_serving(channel, service, status=SERVING):
    async with asyncio.timeout(BOUND_SECONDS):
        async for each in watch(channel, service):
            if each == status:
                return


def run(stub, graph, timeout=BOUND_SECONDS, **inputs):
    return stub.RunGraph(pb.RunGraphRequest(graph=graph, inputs=inputs), timeout=timeout)


async def test_hear_and_judge(mesh, stub):
    """The transcript of a recording goes to the judge, with the language that was heard; both answers come out."""
    answer = await run(stub, "hear-and-judge", recording=pb.Value(data=b"lovely weather"))
    assert {name: value.WhichOneof("kind") for name, value in answer.outputs.items()} == {
        "transcript": "text",
        "language": "text",
        "sentiment": "text",
        "score": "number",
        "truncated": "flag",
    }
    assert answer.outputs["transcript"].text == "lovely weather"
    assert (answer.outputs["sentiment"].text, answer.outputs["score"].number) == ("positive", 0.5)
    assert list(mesh.nlp.request.contents) == ["lovely weather"]
    assert mesh.nlp.request.language_code == "en"
    assert [(node.node, node.method) for node in answer.nodes] == [
        ("hear", f"{SPEECH}/Recognize"),
        ("judge", f"{NLP}/AnalyzeSentiment"),
    ]
    hear, judge = answer.nodes
    assert hear.end_offset.ToNanoseconds() <= judge.start_offset.ToNanoseconds() < judge.end_offset.ToNanoseconds()


async def test_silence_is_judged_as_none(mesh, stub):
    """When nothing was said, the answer says so and is no error; its language is not made up."""
    answer = await run(stub, "hear-and-judge", recording=pb.Value(data=b""))
    assert (answer.outputs["transcript"].text, answer.outputs["sentiment"].text) == ("", "none")
    assert (answer.outputs["score"].number, answer.outputs["language"].text) == (0, "")
    assert mesh.nlp.request.language_code == ""


async def test_a_long_transcript_is_judged_by_its_beginning(mesh, stub):
    """What exceeds the judge's limit is cut, never refused, and the answer says so."""
    answer = await run(stub, "hear-and-judge", recording=pb.Value(data="字".encode() * 3000))
    assert len(mesh.nlp.request.contents[0].encode()) == 2048 * 3
    assert (answer.outputs["sentiment"].text, answer.outputs["truncated"].flag) == ("positive", True)
    assert len(answer.outputs["transcript"].text) == 3000


async def test_look_twice(stub):
    """Both questions are asked at the same time (the fake answers none before both are there) and merged."""
    answer = await run(stub, "look-twice", photo=pb.Value(data=b"jpeg"))
    assert answer.outputs["summary"].text == "Looks like espresso; on it: cup, spoon."
    label = vision_pb2.Label()
    assert answer.outputs["labels"].list.values[0].message.Unpack(label)
    assert label == vision_pb2.Label(name="espresso", score=0.75)
    assert [value.message.TypeName() for value in answer.outputs["objects"].list.values] == [
        "maas.vision.v1.DetectedObject"
    ] * 2
    assert {node.node for node in answer.nodes} == {"classify", "detect"}


async def test_an_unknown_graph_is_not_found(stub):
    """The error lists the graphs that exist."""
    code, info, _, _ = await failure(run(stub, "dream"))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GRAPH_NOT_FOUND")
    assert info.metadata["known"] == ", ".join(SHIPPED)


async def test_a_wrong_input_is_refused_before_any_call(stub):
    """INVALID_ARGUMENT, naming the inputs."""
    code, _, bad, _ = await failure(run(stub, "hear-and-judge", photo=pb.Value(data=b"x")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in bad.field_violations] == ["inputs.photo", "inputs.recording"]


async def test_a_request_id_is_echoed_and_checked(stub):
    """A UUID comes back; anything else violates request_id."""
    name = "8f14e45f-ceea-467f-a0e6-2ad52f0e1b1c"
    inputs = {"recording": pb.Value(data=b"good")}
    request = pb.RunGraphRequest(graph="hear-and-judge", inputs=inputs, request_id=name)
    assert (await stub.RunGraph(request)).request_id == name
    request.request_id = "7"
    code, _, bad, _ = await failure(stub.RunGraph(request))
    assert (code, bad.field_violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, "request_id")


async def test_a_node_s_error_comes_through_with_its_details(stub):
    """The code and the violation are the service's own; graph and node are added."""
    code, info, bad, _ = await failure(run(stub, "hear-and-judge", recording=pb.Value(data=b"\xff")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.field_violations[0].field == "audio.content"
    assert (info.metadata["graph"], info.metadata["node"]) == ("hear-and-judge", "hear")


async def test_a_failed_node_cancels_its_sibling_s_call(mesh, stub):
    """The other service learns at once that nobody waits for its answer; RetryInfo reaches the caller."""
    mesh.vision.refuses = errors.Exhausted("full", retry_after_seconds=3)
    code, info, _, retry = await failure(run(stub, "look-twice", photo=pb.Value(data=b"jpeg")))
    assert (code, info.metadata["node"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "classify")
    assert retry.retry_delay.seconds == 3
    async with asyncio.timeout(BOUND_SECONDS):
        await mesh.vision.cancelled.acquire()


async def test_cancelling_the_call_cancels_every_node(mesh, stub):
    """Both services see their calls cancelled."""
    mesh.vision.never_answers = True
    call = asyncio.ensure_future(run(stub, "look-twice", photo=pb.Value(data=b"jpeg")))
    async with asyncio.timeout(BOUND_SECONDS):
        await mesh.vision.met.wait()
        call.cancel()
        await mesh.vision.cancelled.acquire()
        await mesh.vision.cancelled.acquire()


async def test_the_deadline_covers_the_whole_graph(mesh, stub):
    """A caller whose time is over gets DEADLINE_EXCEEDED, and the nodes' calls end too."""
    mesh.vision.never_answers = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run(stub, "look-twice", timeout=1, photo=pb.Value(data=b"jpeg"))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(BOUND_SECONDS):
        await mesh.vision.cancelled.acquire()
        await mesh.vision.cancelled.acquire()


async def test_a_service_that_is_down_is_a_clear_error(mesh, channel, stub):
    """UNAVAILABLE with RetryInfo names the service, graph and node."""
    await mesh.stop(NLP)
    code, info, _, retry = await failure(run(stub, "hear-and-judge", recording=pb.Value(data=b"good")))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert (info.metadata["service"], info.metadata["node"]) == (NLP, "judge")
    assert retry.retry_delay.ToMilliseconds() > 0


EDGES = [
    ((f"{ROUTER}/RunGraph", SpanKind.SERVER), ("node hear", SpanKind.INTERNAL)),
    (("node hear", SpanKind.INTERNAL), (f"{SPEECH}/Recognize", SpanKind.CLIENT)),
    ((f"{SPEECH}/Recognize", SpanKind.CLIENT), (f"{SPEECH}/Recognize", SpanKind.SERVER)),
    ((f"{ROUTER}/RunGraph", SpanKind.SERVER), ("node judge", SpanKind.INTERNAL)),
    (("node judge", SpanKind.INTERNAL), (f"{NLP}/AnalyzeSentiment", SpanKind.CLIENT)),
    ((f"{NLP}/AnalyzeSentiment", SpanKind.CLIENT), (f"{NLP}/AnalyzeSentiment", SpanKind.SERVER)),
]


async def finished(spans, name):
    """The spans so far, once one of that name is among them: a server's ends after its answer was sent."""
    async with asyncio.timeout(BOUND_SECONDS):
        while name not in {span.name for span in spans.get_finished_spans()}:
            await asyncio.sleep(0.01)
    return spans.get_finished_spans()


async def test_each_node_is_a_span(stub, spans):
    """One trace from the router's server span through each node and its call to the service's server span."""
    await run(stub, "hear-and-judge", recording=pb.Value(data=b"good"))
    found = await finished(spans, f"{ROUTER}/RunGraph")
    by_id = {span.context.span_id: span for span in found}
    edges = {
        ((by_id[span.parent.span_id].name, by_id[span.parent.span_id].kind), (span.name, span.kind))
        for span in found
        if span.parent and span.parent.span_id in by_id
    }
    assert set(EDGES) <= edges
    hear = next(span for span in found if span.name == "node hear")
    assert (hear.attributes["maas.graph"], hear.attributes["maas.node"]) == ("hear-and-judge", "hear")
    assert len({span.context.trace_id for span in found if span.name in {"node hear", "node judge"}}) == 1


async def test_the_span_of_a_failed_node_is_marked(stub, spans):
    """It carries the code, and nothing of the payload."""
    await failure(run(stub, "hear-and-judge", recording=pb.Value(data=b"\xff")))
    found = await finished(spans, f"{ROUTER}/RunGraph")
    hear = next(span for span in found if span.name == "node hear")
    assert (hear.status.status_code, hear.attributes["error.type"]) == (StatusCode.ERROR, "INVALID_ARGUMENT")
    assert hear.events == ()


async def test_capabilities(mesh, stub):
    """Services with methods and models, graphs with inputs and outputs; a service that is down has a status instead."""
    await mesh.stop(SPEECH)
    answer = await stub.ListCapabilities(pb.ListCapabilitiesRequest(), timeout=BOUND_SECONDS)
    services = {service.name: service for service in answer.services}
    assert list(services) == sorted([PREPROCESSING, NLP, SPEECH, VISION, ROUTER])
    assert {"AnalyzeSentiment", "TranslateText", "GetNlpConfig"} <= set(services[NLP].methods)
    assert [model.name for model in services[NLP].models] == ["judge"]
    assert {name for name, service in services.items() if service.HasField("status")} == {SPEECH}
    assert services[SPEECH].status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    graphs = {graph.name: graph for graph in answer.graphs}
    assert list(graphs) == SHIPPED
    hear, look, across = graphs["hear-and-judge"], graphs["look-twice"], graphs["speak-across-languages"]
    assert [each.name for each in across.inputs if each.stream] == ["sound"]
    assert [each.name for each in across.outputs if each.stream] == ["transcript", "translation", "audio"]
    assert {graph.name for graph in answer.graphs if graph.ready} == {"document", "look-twice", "moderate"}
    assert {service.name for service in answer.services if not service.ready} == {SPEECH}
    assert [(each.name, each.kind) for each in hear.inputs] == [
        ("recording", pb.VALUE_KIND_DATA),
        ("language", pb.VALUE_KIND_TEXT),
    ]
    assert {each.name: each.kind for each in look.outputs} == {
        "summary": pb.VALUE_KIND_TEXT,
        "labels": pb.VALUE_KIND_LIST,
        "objects": pb.VALUE_KIND_LIST,
    }
    assert all(each.summary for graph in answer.graphs for each in [graph, *graph.inputs, *graph.outputs])


@pytest.mark.parametrize("how", ["it ends", "it says so"])
async def test_the_router_tells_the_health_of_the_mesh(mesh, channel, how):
    """A service's status, and that of the whole mesh, follow it down and up again; the router's own stays."""
    async with asyncio.timeout(BOUND_SECONDS):
        nlp, whole = watch(channel, NLP), watch(channel, "")
        assert [await anext(nlp), await anext(whole)] == [SERVING, SERVING]
        await mesh.stop(NLP) if how == "it ends" else mesh.not_ready.add(NLP)
        assert [await anext(nlp), await anext(whole)] == [NOT_SERVING, NOT_SERVING]
        health = health_pb2_grpc.HealthStub(channel)
        for name, status in [(ROUTER, SERVING), (VISION, SERVING), (NLP, NOT_SERVING), ("", NOT_SERVING)]:
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == status
        await mesh.start(NLP) if how == "it ends" else mesh.not_ready.remove(NLP)
        assert [await anext(nlp), await anext(whole)] == [SERVING, SERVING]


async def test_the_router_tells_of_the_service_of_models_and_does_not_call_it(mesh):
    """Its health and its contract, when its address is given; it is no capability, and no node may call it."""
    ready = True
    add, name = models_pb2_grpc.add_ModelServiceServicer_to_server, "maas.models.v1.ModelService"
    servicer = Servicer(name, add, models_pb2_grpc.ModelServiceServicer(), lambda: ready)
    async with (
        asyncio.timeout(BOUND_SECONDS),
        serving([servicer], settings(0)) as port,
        mesh.router(models_address=f"127.0.0.1:{port}") as channel,
    ):
        await until_serving(channel, name)
        await until_serving(channel, "")
        stub = router_pb2_grpc.RouterServiceStub(channel)
        answer = await stub.ListCapabilities(pb.ListCapabilitiesRequest())
        assert {service.name for service in answer.services} == {PREPROCESSING, NLP, VISION, SPEECH, ROUTER}
        changes = watch(channel, name)
        assert await anext(changes) == SERVING
        ready = False
        assert await anext(changes) == NOT_SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_the_whole_mesh(channel, version):
    """Every service is listed, and the files of each resolve on their own, google/api/annotations among them."""
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    async def one(**request):
        async for response in ask(iter([reflection_pb2.ServerReflectionRequest(**request)])):
            return response
        raise AssertionError("the server closed the stream without an answer")

    listed = [service.name for service in (await one(list_services="")).list_services_response.service]
    assert set(listed) == {
        *(PREPROCESSING, NLP, VISION, SPEECH, ROUTER),
        *("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"),
    }
    for name in listed:
        pool = descriptor_pool.DescriptorPool()
        files = (await one(file_containing_symbol=name)).file_descriptor_response.file_descriptor_proto
        pending = {proto.name: proto for proto in map(descriptor_pb2.FileDescriptorProto.FromString, files)}

        def add(file, pool=pool, pending=pending):
            for dependency in pending[file].dependency:
                add(dependency)
            pool.Add(pending[file])

        add(next(iter(pending)))
        assert pool.FindServiceByName(name).methods
        if name.startswith("maas."):
            assert "google/api/annotations.proto" in pending
    missing = await one(file_containing_symbol="maas.nothing")
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_service_of_another_process_is_not_answered_here(channel):
    """Health and contract are told for all; calls go to the service itself, by the gateway."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await nlp_pb2_grpc.NlpServiceStub(channel).GetNlpConfig(nlp_pb2.GetNlpConfigRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
