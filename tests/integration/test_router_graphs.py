"""The router's RPCs that show and keep graphs, over real sockets, on a real database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf import json_format

from maas.router.v1 import graph_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh.server import Servicer
from services.mesh.testing import serve
from services.router.compiling import compile_graph, read, to_json, to_proto, version_of
from services.router.pipelines.documents import GRAPH, TRAFFIC
from services.router.registry import Registry
from services.router.rpc.graphs import GraphRpcs
from services.router.store import open_store
from tests.failure import failure
from tests.unit.router.graphs_of_tests import Callers, judging

ROUTER = "maas.router.v1.RouterService"
BOUND_SECONDS = 20


class Router(GraphRpcs):
    """These RPCs alone."""

    def __init__(self, registry, store):
        self._registry = registry
        self._store = store


@asynccontextmanager
async def router(store, *names):
    """A stub of a router with a store, whose folder has these graphs."""
    built_in = {name: compile_graph(read(judging(name)).graph) for name in names}
    implementation = Router(Registry(built_in, Callers(), store), store)
    servicer = Servicer(ROUTER, router_pb2_grpc.add_RouterServiceServicer_to_server, implementation)
    async with serve(servicer) as channel:
        yield router_pb2_grpc.RouterServiceStub(channel)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'router.sqlite'}"


@pytest.fixture
async def store(url):
    async with open_store(url) as store:
        yield store


@pytest.fixture
async def stub(store):
    async with router(store, "greet", "judge") as stub:
        yield stub


def proto(name, **how):
    return to_proto(read(judging(name, **how)).graph)


def create(stub, name="new", **how):
    return stub.CreateGraph(pb.CreateGraphRequest(yaml=judging(name, **how)), timeout=BOUND_SECONDS)


async def get(stub, name):
    return (await stub.GetGraph(pb.GetGraphRequest(name=name), timeout=BOUND_SECONDS)).graph


def update(stub, etag="", **how):
    return stub.UpdateGraph(pb.UpdateGraphRequest(yaml=judging("new", **how), etag=etag), timeout=BOUND_SECONDS)


def delete(stub, name, etag=""):
    return stub.DeleteGraph(pb.DeleteGraphRequest(name=name, etag=etag), timeout=BOUND_SECONDS)


async def names(stub, **page):
    answer = await stub.ListGraphs(pb.ListGraphsRequest(**page), timeout=BOUND_SECONDS)
    return [graph.name for graph in answer.graphs], answer.next_page_token


def content(graph):
    """What a graph says, without what is output only."""
    bare = pb.Graph()
    bare.CopyFrom(graph)
    for field in ("version", "etag", "built_in", "create_time", "update_time", "versions"):
        bare.ClearField(field)
    return json_format.MessageToDict(bare)


async def test_a_graph_of_the_folder(stub):
    """It is shown with its version, as one that came with the mesh; the version finds it, too."""
    graph = await get(stub, "greet")
    assert content(graph) == content(proto("greet"))
    assert graph.built_in
    assert list(graph.versions) == [graph.version]
    assert (graph.etag, graph.HasField("create_time"), graph.HasField("update_time")) == ("", False, False)
    assert await get(stub, f"greet@{graph.version}") == graph


@pytest.mark.parametrize("source", ["yaml", "graph"])
async def test_a_graph_is_created(stub, source):
    """From its file's text or as a message it is kept, shown and listed; what is output only is passed over."""
    given = {"yaml": judging("new")} if source == "yaml" else {"graph": proto("new")}
    if source == "graph":
        given["graph"].version, given["graph"].built_in, given["graph"].etag = "0", True, "0"
    created = (await stub.CreateGraph(pb.CreateGraphRequest(**given), timeout=BOUND_SECONDS)).graph
    assert content(created) == content(proto("new"))
    assert not created.built_in
    assert list(created.versions) == [created.version]
    assert created.etag
    assert created.create_time == created.update_time
    assert created.create_time.seconds > 0
    assert await get(stub, "new") == created
    assert await names(stub) == (["greet", "judge", "new"], "")


async def test_equal_graphs_have_equal_versions(stub):
    """The version is a hash of the content: the same from the file and from the message, another for another text."""
    whole = (await stub.ValidateGraph(pb.ValidateGraphRequest(yaml=judging("new")), timeout=BOUND_SECONDS)).graph
    assert (await create(stub)).graph.version == whole.version
    assert (await update(stub, summary="Judges better.")).graph.version != whole.version


@pytest.mark.parametrize("name", ["new", "greet"])
async def test_a_name_is_taken(stub, name):
    """A second graph of a name is ALREADY_EXISTS, whether the first is kept or came with the mesh."""
    await create(stub)
    code, info, _, _ = await failure(create(stub, name, summary="Another."))
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "GRAPH_ALREADY_EXISTS")


async def test_a_graph_is_updated(stub):
    """Its new version is the current one; the one before is found by its name and version."""
    first = (await create(stub)).graph
    second = (await update(stub, summary="Judges better.", etag=first.etag)).graph
    assert second.summary == "Judges better."
    assert list(second.versions) == [second.version, first.version]
    assert second.etag != first.etag
    assert second.create_time == first.create_time
    assert await get(stub, "new") == second
    older = await get(stub, f"new@{first.version}")
    assert content(older) == content(first)
    assert (older.version, list(older.versions)) == (first.version, list(second.versions))
    assert not older.HasField("update_time")


async def test_who_is_late_is_told(stub):
    """An update or deletion with an older etag, in the request or in the graph, is ABORTED and changes nothing."""
    first = (await create(stub)).graph
    second = (await update(stub, summary="Judges better.")).graph
    stale = pb.UpdateGraphRequest(graph=first)
    for call in (
        update(stub, etag=first.etag),
        stub.UpdateGraph(stale, timeout=BOUND_SECONDS),
        delete(stub, "new", first.etag),
    ):
        code, info, _, _ = await failure(call)
        assert (code, info.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await get(stub, "new") == second


async def test_a_graph_is_deleted(stub, store):
    """It goes with its versions and its traffic policy."""
    first = (await create(stub)).graph
    await update(stub, summary="Judges better.")
    await store.create(TRAFFIC, "graphs/new", "{}")
    await delete(stub, "new")
    for name in ("new", f"new@{first.version}"):
        code, info, _, _ = await failure(get(stub, name))
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GRAPH_NOT_FOUND")
    assert store.get(TRAFFIC, "graphs/new") is None
    assert await names(stub) == (["greet", "judge"], "")


@pytest.mark.parametrize("name", ["nobody", "no\0body", "nobody@1", "x" * 100_000])
async def test_what_is_not_there_is_not_found(stub, name):
    """It can neither be shown nor deleted, whatever its name."""
    for call in (get(stub, name), delete(stub, name)):
        code, info, _, _ = await failure(call)
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GRAPH_NOT_FOUND")


async def test_what_is_not_there_cannot_be_updated(stub):
    """An update creates nothing."""
    code, info, _, _ = await failure(update(stub))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GRAPH_NOT_FOUND")
    assert await names(stub) == (["greet", "judge"], "")


async def test_what_came_with_the_mesh_stays(stub):
    """It can neither be replaced nor deleted."""
    request = pb.UpdateGraphRequest(yaml=judging("greet", summary="Mine."))
    for call in (stub.UpdateGraph(request, timeout=BOUND_SECONDS), delete(stub, "greet")):
        code, info, _, _ = await failure(call)
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GRAPH_BUILT_IN")
    assert (await get(stub, "greet")).built_in


async def test_a_mesh_without_a_store(url):
    """Graphs are shown and validated; what changes something says what the operator has to set."""
    async with router(None, "greet") as stub:
        assert await names(stub) == (["greet"], "")
        valid = await stub.ValidateGraph(pb.ValidateGraphRequest(yaml=judging("new")), timeout=BOUND_SECONDS)
        assert not valid.problems
        for call in (create(stub), update(stub), delete(stub, "greet")):
            code, info, _, _ = await failure(call)
            assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_STORE")
        with pytest.raises(grpc.aio.AioRpcError, match="ROUTER_STORE_URL"):
            await create(stub)


async def test_a_graph_that_cannot_run_is_not_kept(stub):
    """INVALID_ARGUMENT with a violation for each problem: the field, the node and the line."""
    code, info, bad, _ = await failure(create(stub, method="Nope"))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "GRAPH_INVALID")
    (violation,) = bad.field_violations
    assert violation.field == "yaml.judge.call"
    assert violation.description.startswith("line 7: ")
    assert "Nope" in violation.description
    request = pb.CreateGraphRequest(graph=proto("new", method="Nope"))
    code, _, bad, _ = await failure(stub.CreateGraph(request, timeout=BOUND_SECONDS))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in bad.field_violations] == ["graph.judge.call"]
    assert await names(stub) == (["greet", "judge"], "")


def broken(nodes):
    """A graph in which every node is wrong, and says so at length."""
    lines = [
        f'    - {{node: n{n}, call: maas.nlp.v1.NlpService/{"Nope" * 50}, request: {{contents: "[inputs.text]"}}}}'
        for n in range(nodes)
    ]
    head, tail = judging("new").split("run:\n")
    return "\n".join([head + "run:", "  sequence:", *lines, "outputs:" + tail.split("outputs:")[1]])


async def test_many_problems_fit_into_an_answer(stub):
    """An error, which travels in headers, names the first and says how many there are; ValidateGraph tells all."""
    code, _, bad, _ = await failure(stub.CreateGraph(pb.CreateGraphRequest(yaml=broken(20)), timeout=BOUND_SECONDS))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert 1 < len(bad.field_violations) < 20
    found = await stub.ValidateGraph(pb.ValidateGraphRequest(yaml=broken(20)), timeout=BOUND_SECONDS)
    assert {each.node for each in found.problems} >= {f"n{n}" for n in range(20)}


async def test_a_graph_is_validated(stub):
    """One that can run comes back as it was understood, with a picture, and is not kept."""
    answer = await stub.ValidateGraph(pb.ValidateGraphRequest(yaml=judging("new")), timeout=BOUND_SECONDS)
    assert not answer.problems
    assert content(answer.graph) == content(proto("new"))
    assert answer.graph.version
    assert answer.mermaid.startswith("flowchart")
    assert await names(stub) == (["greet", "judge"], "")


async def test_problems_are_told(stub):
    """One that cannot run is no error of the call: node, place, line and what is wrong."""
    request = pb.ValidateGraphRequest(yaml=judging("new", method="Nope"))
    answer = await stub.ValidateGraph(request, timeout=BOUND_SECONDS)
    (problem,) = answer.problems
    assert (problem.node, problem.path, problem.line) == ("judge", "call", 7)
    assert "Nope" in problem.description
    assert not answer.HasField("graph")
    assert not answer.mermaid


async def test_something_must_be_given(stub):
    """Neither a graph nor a file's text, or one that is too large, is INVALID_ARGUMENT that names the field."""
    large = judging("new") + "#" * 65536
    for method, kind in (
        (stub.ValidateGraph, pb.ValidateGraphRequest),
        (stub.CreateGraph, pb.CreateGraphRequest),
        (stub.UpdateGraph, pb.UpdateGraphRequest),
    ):
        for given, field in (({}, "graph"), ({"yaml": large}, "yaml"), ({"graph": {"summary": large}}, "graph")):
            code, _, bad, _ = await failure(method(kind(**given), timeout=BOUND_SECONDS))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert [each.field for each in bad.field_violations] == [field]


async def test_a_name_must_be_given(stub):
    """GetGraph and DeleteGraph say that it is required."""
    for call in (get(stub, ""), delete(stub, "")):
        code, _, bad, _ = await failure(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert [each.field for each in bad.field_violations] == ["name"]


async def test_graphs_are_listed_in_pages(stub):
    """By name, each once, also when one is deleted between two pages."""
    for name in ("alpha", "new"):
        await create(stub, name)
    first, token = await names(stub, page_size=2)
    assert (first, bool(token)) == (["alpha", "greet"], True)
    await delete(stub, "alpha")
    assert await names(stub, page_size=2, page_token=token) == (["judge", "new"], "")


@pytest.mark.parametrize(
    "page", [{"page_size": 101}, {"page_size": -1}, {"page_token": "?"}, {"page_token": "Q" * 999}]
)
async def test_strange_pages_are_refused(stub, page):
    """A size or a token that no answer gave is INVALID_ARGUMENT that names the field."""
    code, _, bad, _ = await failure(stub.ListGraphs(pb.ListGraphsRequest(**page), timeout=BOUND_SECONDS))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in bad.field_violations] == list(page)


async def test_a_page_fits_into_a_message(store):
    """Large graphs come in more pages than were asked for, none of which is too large for a client."""
    more = "".join(f"  more{n}: {{value: \"'{'y' * 8000}'\", summary: More.}}\n" for n in range(7))
    for number in range(40):
        graph = read(judging(f"new{number:02}") + more).graph
        await store.create(GRAPH, graph.name, to_json(graph), version_of(graph))
    async with router(store) as stub:
        first, token = await names(stub, page_size=100)
        assert 1 < len(first) < 40
        rest, token = await names(stub, page_size=100, page_token=token)
        assert (first + rest, token) == ([f"new{n:02}" for n in range(40)], "")


async def test_replicas_serve_what_one_of_them_was_told(url):
    """Two routers on one database: what is created, updated and deleted at one is so at the other."""
    async with open_store(url) as here, open_store(url) as there, router(here) as one, router(there) as other:
        created = (await create(one)).graph
        await until(other, lambda graphs: graphs == [created])
        updated = (await update(other, summary="Judges better.", etag=created.etag)).graph
        await until(one, lambda graphs: graphs == [updated])
        await delete(one, "new")
        await until(other, lambda graphs: graphs == [])


async def until(stub, condition):
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition(list((await stub.ListGraphs(pb.ListGraphsRequest())).graphs)):
            await asyncio.sleep(0.01)


async def test_a_graph_of_another_release_can_be_seen_and_deleted(url):
    """One that does not fit this router is shown as far as it can be read, and goes when it is told to."""
    contents = {"alpha": "{", "beta": '{"name": "beta", "novelty": 1}'}
    async with open_store(url) as store:
        for name, body in contents.items():
            await store.create(GRAPH, name, body, "0123456789ab")
    async with open_store(url) as store, router(store) as stub:
        assert await names(stub) == (["alpha", "beta"], "")
        for name in contents:
            graph = await get(stub, name)
            assert (graph.name, graph.version) == (name, "0123456789ab")
            await delete(stub, name, graph.etag)
        assert await names(stub) == ([], "")


async def test_a_store_that_is_away(url):
    """What is kept is UNAVAILABLE with RetryInfo; graphs that came with the mesh are shown."""
    async with open_store("postgresql://maas@127.0.0.1:1/router") as store, router(store, "greet") as stub:
        assert (await get(stub, "greet")).built_in
        calls = (
            create(stub),
            update(stub),
            delete(stub, "new"),
            get(stub, "new"),
            stub.ListGraphs(pb.ListGraphsRequest(), timeout=BOUND_SECONDS),
        )
        for call in calls:
            code, info, _, retry = await failure(call)
            assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "ROUTER_UNAVAILABLE")
            assert retry.retry_delay.seconds == 1
