"""StreamingRunGraph and the streams of RunGraph, with a graph that is a function of its streams."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import grpc
import pytest

from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.server import Servicer
from services.mesh.testing import serve
from services.router.pipelines.graph import Graph
from services.router.rpc import streaming
from services.router.rpc.streaming import MAX_ITEM_BYTES, PIECE_BYTES, StreamingRpcs, run_whole
from services.router.values import read_inputs, read_item
from tests.failure import failure, received

ROUTER = "maas.router.v1.RouterService"
ID = "7d9a7d4c-52c5-4c4c-a8f5-3b1c1a8e8a53"
GRAPH = Graph.model_validate(
    {
        "name": "g",
        "summary": "S.",
        "inputs": {
            "sound": {"kind": "data", "stream": True, "summary": "S."},
            "words": {"kind": "text", "stream": True, "summary": "S."},
            "language": {"kind": "text", "default": "en", "summary": "S."},
        },
        "run": {"stream": [{"node": "n", "each": "inputs.sound", "call": "x"}]},
        "outputs": {
            "audio": {"each": "n", "value": "n", "summary": "S."},
            "heard": {"each": "n", "value": "n", "summary": "S."},
            "count": {"value": "1", "summary": "S."},
        },
    }
)


@dataclass
class FakeRunner:
    """Runs a function of the streams and of `emit` as a graph; knows when it was cancelled."""

    work: Callable
    graph_: Graph = GRAPH
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    keys: list = field(default_factory=list)

    async def graph(self, name):
        if name != "g":
            raise errors.NotFound.named("graph", name, ["g"])
        return self.graph_

    async def prepare(self, name, given, *, routing_key=""):
        self.keys.append(routing_key)
        read_inputs((await self.graph(name)).inputs, given)
        compiled = SimpleNamespace(output_types={"audio": "BYTES", "heard": "STRING", "count": "INT"})
        return SimpleNamespace(
            graph=self.graph_,
            runnable=SimpleNamespace(compiled=compiled),
            item=lambda name, value: read_item(name, self.graph_.inputs[name], value),
            execute=self.execute,
        )

    async def execute(self, deadline, *, streams, emit):
        try:
            await self.work(streams, emit)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.RunGraphResponse(version="1", outputs={"count": pb.Value(number=1)})


class Router(StreamingRpcs):
    def __init__(self, runner):
        self._runner = runner


async def echo(streams, emit):
    """Both streams, each to an output."""

    async def one(name, to):
        async for item in streams[name]:
            await emit(to, item)

    await asyncio.gather(one("sound", "audio"), one("words", "heard"))


def router(work, graph=GRAPH):
    return FakeRunner(work, graph)


@pytest.fixture
async def open_stub():
    """A stub for a router that runs a function as its graph."""
    async with asyncio.timeout(30):
        stack = []

        async def make(runner):
            server = serve(Servicer(ROUTER, router_pb2_grpc.add_RouterServiceServicer_to_server, Router(runner)))
            stack.append(server)
            return router_pb2_grpc.RouterServiceStub(await server.__aenter__())

        yield make
        for each in stack:
            await each.__aexit__(None, None, None)


def config(graph="g", **more):
    return pb.StreamingRunGraphRequest(config={"graph": graph, **more})


def sound(content):
    return pb.StreamingRunGraphRequest(item={"name": "sound", "value": {"data": content}})


def word(text):
    return pb.StreamingRunGraphRequest(item={"name": "words", "value": {"text": text}})


def end_of(name):
    return pb.StreamingRunGraphRequest(end_of_input={"name": name})


async def ask(stub, *requests):
    return await received(stub.StreamingRunGraph(iter(requests), timeout=20))


async def test_items_reach_their_streams(open_stub):
    """Items of several streams in any order come out in order each; the last message has the rest."""
    stub = await open_stub(runner := router(echo))
    requests = [config(request_id=ID, routing_key="k")]
    for number in range(30):
        requests += [sound(bytes([number])), word(str(number))]
    *items, last = await ask(stub, *requests)
    values = [(each.item.name, each.item.value) for each in items]
    assert [value.data for name, value in values if name == "audio"] == [bytes([number]) for number in range(30)]
    assert [value.text for name, value in values if name == "heard"] == list(map(str, range(30)))
    assert last.end == pb.RunGraphResponse(version="1", outputs={"count": pb.Value(number=1)}, request_id=ID)
    assert runner.keys == ["k"]


async def test_one_stream_may_end_before_the_others(open_stub):
    """Its end is seen while others go on; it may not be followed by more."""

    async def first_sounds(streams, emit):
        count = len([item async for item in streams["sound"]])
        async for item in streams["words"]:
            await emit("heard", f"{item} after {count}")

    stub = await open_stub(router(first_sounds))
    call = stub.StreamingRunGraph(timeout=20)
    for request in (config(), sound(b"a"), end_of("sound"), word("b")):
        await call.write(request)
    assert (await call.read()).item.value.text == "b after 1"
    await call.done_writing()
    assert (await call.read()).HasField("end")


async def test_a_graph_without_streams(open_stub):
    """It gives nothing but the end, and does not wait for the client's."""

    async def nothing(streams, emit):
        assert not streams

    plain = GRAPH.model_copy(update={"inputs": {"language": GRAPH.inputs["language"]}})
    stub = await open_stub(router(nothing, plain))
    call = stub.StreamingRunGraph(timeout=20)
    await call.write(config())
    assert (await call.read()).end.version == "1"
    assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "config"),
        ([sound(b"a")], "config"),
        ([config(), config()], "config"),
        ([config(), pb.StreamingRunGraphRequest()], "streaming_request"),
        ([config(request_id="x")], "request_id"),
        ([config(inputs={"sound": pb.Value(data=b"")})], "inputs.sound"),
        ([config(inputs={"noise": pb.Value(data=b"")})], "inputs.noise"),
        ([config(), pb.StreamingRunGraphRequest(item={"name": "noise", "value": {"data": b"a"}})], "item.name"),
        ([config(), pb.StreamingRunGraphRequest(item={"name": "language", "value": {"text": "a"}})], "item.name"),
        ([config(), end_of("noise")], "end_of_input.name"),
        ([config(), end_of("sound"), sound(b"a")], "item.name"),
        ([config(), end_of("sound"), end_of("sound")], "end_of_input.name"),
        ([config(), pb.StreamingRunGraphRequest(item={"name": "sound", "value": {"text": "a"}})], "inputs.sound"),
        ([config(), pb.StreamingRunGraphRequest(item={"name": "sound"})], "inputs.sound"),
        ([config(), sound(bytes(MAX_ITEM_BYTES + 1))], "item.value"),
    ],
)
async def test_broken_rules(open_stub, requests, field):
    """Each is INVALID_ARGUMENT that names the field, and the graph is cancelled, if it has begun."""

    async def forever(streams, emit):
        await asyncio.Event().wait()

    stub = await open_stub(runner := router(forever))
    code, _, bad, _ = await failure(ask(stub, *requests))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in bad.field_violations] == [field]
    if len(requests) > 1:
        await runner.cancelled.wait()


async def test_the_largest_item(open_stub):
    """It goes through whole."""
    stub = await open_stub(router(echo))
    (item, _) = await ask(stub, config(), sound(bytes(MAX_ITEM_BYTES)))
    assert len(item.item.value.data) == MAX_ITEM_BYTES


async def test_outputs_that_come_at_the_same_time(open_stub):
    """All of them come, when many wait for the client to take those before."""

    async def many(streams, emit):
        await asyncio.gather(*(emit("heard", str(number)) for number in range(50)))

    stub = await open_stub(router(many))
    *items, last = await ask(stub, config())
    assert [each.item.value.text for each in items] == list(map(str, range(50)))
    assert last.HasField("end")


async def test_what_came_before_a_failure_counts(open_stub):
    """The items before it are delivered, then its status."""

    async def breaks(streams, emit):
        for number in range(20):
            await emit("heard", str(number))
        raise errors.Unavailable("n: is gone", metadata={"node": "n"})

    stub = await open_stub(router(breaks))
    came: list[pb.StreamingRunGraphResponse] = []
    code, info, _, _ = await failure(received(stub.StreamingRunGraph(iter([config()]), timeout=20), came))
    assert (code, info.metadata["node"]) == (grpc.StatusCode.UNAVAILABLE, "n")
    assert [answer.item.value.text for answer in came] == list(map(str, range(20)))


async def test_a_client_who_goes(open_stub):
    """The graph is cancelled, whether it waits for the client's items or for the client to take its own."""

    async def floods(streams, emit):
        while True:
            await emit("audio", bytes(100_000))

    for work, expected in ((echo, 0), (floods, 1)):
        stub = await open_stub(runner := router(work))
        call = stub.StreamingRunGraph(timeout=20)
        await call.write(config())
        for _ in range(expected):
            await call.read()
        await call.write(sound(b"a"))
        if not expected:
            await call.read()
        call.cancel()
        await runner.cancelled.wait()


@pytest.mark.usefixtures("small_windows")
async def test_a_client_who_does_not_read_is_slowed_down(open_stub):
    """What it sends is no longer taken when nothing is taken of what it gets, and then goes on."""
    stub = await open_stub(router(echo))
    sent = 0

    async def many():
        nonlocal sent
        yield config()
        for _ in range(300):
            sent += 1
            yield sound(bytes(100_000))

    call = stub.StreamingRunGraph(many(), timeout=20)
    answers = aiter(call)
    await anext(answers)
    seen = -1
    while seen < sent:
        seen = sent
        await asyncio.sleep(0.2)
    assert sent < 200
    assert len([answer async for answer in answers]) == 300
    assert sent == 300


async def test_a_graph_that_takes_nothing_stops_the_reading(open_stub):
    """Of a stream that stands still only a few items are read, also when others have room."""
    taken = []

    async def only_words(streams, emit):
        async for item in streams["words"]:
            taken.append(item)
            await emit("heard", item)

    stub = await open_stub(router(only_words))
    call = stub.StreamingRunGraph(timeout=20)
    await call.write(config())
    for _ in range(4):
        await call.write(sound(b"a"))
    await call.write(word("before"))
    assert (await call.read()).item.value.text == "before"
    await call.write(sound(b"a"))
    await call.write(word("after"))
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert taken == ["before"]
    call.cancel()


def whole(runner, **inputs):
    return run_whole(runner, "g", inputs, Deadline.after(10), routing_key="k")


def values(kind, *items):
    return pb.Value(list=pb.ValueList(values=[pb.Value(**{kind: item}) for item in items]))


async def test_a_graph_on_whole_streams():
    """Data are cut into pieces, lists go item by item; data come joined, other items as a list."""
    sizes = []

    async def measured(streams, emit):
        async for item in streams["sound"]:
            sizes.append(len(item))
            await emit("audio", item)
        async for item in streams["words"]:
            await emit("heard", item)

    content = bytes(range(256)) * 2048 + b"!"
    answer = await whole(router(measured), sound=pb.Value(data=content), words=values("text", "a", "b"))
    assert sizes == [PIECE_BYTES, PIECE_BYTES, 1]
    assert answer.outputs["audio"].data == content
    assert answer.outputs["heard"] == values("text", "a", "b")
    assert answer.outputs["count"].number == 1


async def test_whole_streams_of_nothing():
    """Outputs that gave nothing are empty, of the kind that they are."""
    answer = await whole(router(echo), sound=pb.Value(data=b""), words=values("text"))
    assert answer.outputs["audio"].WhichOneof("kind") == "data"
    assert answer.outputs["heard"].WhichOneof("kind") == "list"


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"words": values("text")}, "inputs.sound"),
        ({"sound": values("data")}, "inputs.words"),
        ({"sound": values("data"), "words": pb.Value(text="a")}, "inputs.words"),
        ({"sound": values("text", "a"), "words": values("text")}, "inputs.sound"),
        ({"sound": pb.Value(text="a"), "words": values("text")}, "inputs.sound"),
        (
            {"sound": values("data", b"a", bytes(MAX_ITEM_BYTES + 1)), "words": values("text")},
            "inputs.sound.list.values[1]",
        ),
        ({"sound": values("data"), "words": values("text"), "language": pb.Value(number=1)}, "inputs.language"),
    ],
)
async def test_whole_streams_that_are_wrong(inputs, field):
    """Each is INVALID_ARGUMENT before anything runs."""

    async def never(streams, emit):
        raise AssertionError

    with pytest.raises(errors.InvalidArgument) as caught:
        await whole(router(never), **inputs)
    assert [each.field for each in caught.value.violations] == [field]


async def test_whole_outputs_are_bounded(monkeypatch):
    """More than fits is RESOURCE_EXHAUSTED, naming the output."""
    monkeypatch.setattr(streaming, "MAX_OUTPUT_BYTES", 100)
    small = values("data", bytes(30))
    assert (await whole(router(echo), sound=small, words=values("text", "a" * 30))).outputs["audio"].data == bytes(30)
    with pytest.raises(errors.Exhausted, match=r"outputs\.heard"):
        await whole(router(echo), sound=small, words=values("text", "a" * 80))
