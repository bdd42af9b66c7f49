"""What goes with the calls of graphs: in whose name they are made, and whether their times are wanted."""

import grpc
import pytest

from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.client.server_timing import read
from tests.integration.router_mesh import FakeNlp, FakeSpeech, Mesh
from tests.integration.test_router import until_serving

TENANT = ("maas-tenant", "acme-1")


def received(context, key):
    return [value for each, value in context.invocation_metadata() if each == key]


class Nlp(FakeNlp):
    """Keeps what metadata its calls had."""

    async def AnalyzeSentiment(self, request, context):
        self.tenants, self.timing = received(context, "maas-tenant"), received(context, "maas-timing")
        return await super().AnalyzeSentiment(request, context)


class Speech(FakeSpeech):
    """Keeps in whose name its streams were opened."""

    async def StreamingRecognize(self, requests, context):
        self.tenants = received(context, "maas-tenant")
        async for answer in super().StreamingRecognize(requests, context):
            yield answer


@pytest.fixture
async def mesh():
    return Mesh(Nlp(), Speech())


async def judged(mesh, *metadata):
    """A run of hear-and-judge."""
    async with mesh.router() as channel:
        await until_serving(channel, "")
        request = pb.RunGraphRequest(graph="hear-and-judge", inputs={"recording": pb.Value(data=b"lovely")})
        running = router_pb2_grpc.RouterServiceStub(channel).RunGraph(request, timeout=20, metadata=metadata)
        await running
        return read(await running.trailing_metadata())


async def test_a_graph_s_calls_are_made_in_the_caller_s_name(mesh, spans):
    """The tenant that the gateway told the router is told to the services, and is in no span."""
    await judged(mesh, TENANT)
    assert mesh.nlp.tenants == ["acme-1"]
    assert not [span for span in spans.get_finished_spans() if "acme-1" in span.to_json()]


async def test_nobody_s_name(mesh):
    """Without a tenant none is made up."""
    await judged(mesh)
    assert mesh.nlp.tenants == []


async def test_what_is_no_name_is_refused_by_whom_it_matters_to(mesh):
    """It goes on, cut, so that it becomes nobody else's name on the way; a service that needs one refuses it."""
    await judged(mesh, ("maas-tenant", "No Name " * 20), ("maas-tenant", "b"), ("maas-tenant", "c"))
    assert mesh.nlp.tenants == [("No Name " * 20)[:65], "b"]


async def test_times_of_each_node(mesh):
    """Who asks the router for times is told those of each node, with the stages of the service that it called."""
    told = {each.name: each for each in await judged(mesh, ("maas-timing", "1"))}
    assert mesh.nlp.timing == ["1"]
    assert {"total", "traceparent", "call", "node.hear", "node.judge"} <= set(told)
    nodes = told["node.hear"].milliseconds + told["node.judge"].milliseconds
    assert told["call"].milliseconds <= nodes <= told["total"].milliseconds
    assert float(told["node.judge"].parameters["start"]) >= told["node.hear"].milliseconds


async def test_services_are_not_asked_for_what_nobody_wants(mesh):
    """Without the key the services get none."""
    await judged(mesh)
    assert mesh.nlp.timing == []


async def test_a_stream_s_calls_are_made_in_the_caller_s_name(mesh):
    """Also those that a graph opens for as long as its own stream lasts."""

    def requests():
        yield pb.StreamingRunGraphRequest(config={"graph": "speak-across-languages"})
        yield pb.StreamingRunGraphRequest(item={"name": "sound", "value": {"data": b"lovely"}})

    async with mesh.router() as channel:
        await until_serving(channel, "")
        stub = router_pb2_grpc.RouterServiceStub(channel)
        running = stub.StreamingRunGraph(requests(), timeout=20, metadata=(TENANT, ("maas-timing", "1")))
        async for _ in running:
            pass
        told = {each.name for each in read(await running.trailing_metadata())}
        assert await running.code() is grpc.StatusCode.OK
    assert mesh.speech.tenants == ["acme-1"]
    assert {"node.hear", "node.translate", "node.speak"} <= told
