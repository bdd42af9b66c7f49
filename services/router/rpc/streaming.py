"""StreamingRunGraph, and the streams of RunGraph, which has them as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing

from maas.router.v1 import router_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.request import request_id
from services.mesh.server import budget
from services.mesh.streams import first_config, kind_of
from services.mesh.together import group
from services.router.pipelines.graph import Kind
from services.router.pipelines.streaming.channel import Channel
from services.router.runner import Prepared, Runner
from services.router.values import kind_of_type, to_value

# For calls whose client set no deadline.
LONGEST_SECONDS = 3600.0
MAX_ITEM_BYTES = 1024 * 1024
# What data are cut into that come as a whole.
PIECE_BYTES = 256 * 1024
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
# Items that wait for the graph, of each stream, and outputs that wait for the client.
_BUFFER = 4
# What is told back of an unknown name.
_SHOWN_LETTERS = 64


class StreamingRpcs(router_pb2_grpc.RouterServiceServicer):
    """The RPC that runs a graph on streams."""

    _runner: Runner

    async def StreamingRunGraph(
        self, request_iterator: AsyncIterator[pb.StreamingRunGraphRequest], context: Context
    ) -> AsyncIterator[pb.StreamingRunGraphResponse]:
        """What a graph gives, while its inputs come."""
        deadline = budget(context, default_seconds=LONGEST_SECONDS)
        config = await first_config(request_iterator)
        echo = request_id(config)
        prepared = await self._runner.prepare(config.graph, config.inputs, routing_key=config.routing_key)
        async with aclosing(_answers(prepared, request_iterator, deadline)) as answers:
            async for answer in answers:
                if answer.HasField("end"):
                    answer.end.request_id = echo
                yield answer


async def _answers(
    prepared: Prepared, requests: AsyncIterator[pb.StreamingRunGraphRequest], deadline: Deadline
) -> AsyncGenerator[pb.StreamingRunGraphResponse, None]:
    """Run a graph while its client sends. Closing the generator cancels it."""
    inputs = _Inputs(prepared)
    answers: Channel[pb.StreamingRunGraphResponse] = Channel(_BUFFER)
    turn = asyncio.Lock()

    async def emit(name: str, value: object) -> None:
        item = pb.StreamItem(name=name, value=to_value(value))
        async with turn:
            await answers.put(pb.StreamingRunGraphResponse(item=item))

    async def run() -> pb.RunGraphResponse:
        try:
            async with group() as tasks:
                reading = tasks.create_task(inputs.read(requests))
                end = await prepared.execute(deadline, streams=inputs.streams, emit=emit)
                reading.cancel()
            return end
        finally:
            answers.close()

    # A task of its own, since this generator may be closed by another than the one that reads from it.
    running = asyncio.create_task(run())
    try:
        async for answer in answers:
            yield answer
        yield pb.StreamingRunGraphResponse(end=await running)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Inputs:
    """What a client sends, sorted by stream. streams: the items of each, by its name."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        declared = prepared.graph.inputs
        self.streams = {name: Channel[object](_BUFFER) for name, each in declared.items() if each.stream}

    async def read(self, requests: AsyncIterator[pb.StreamingRunGraphRequest]) -> None:
        """Read to the end, which ends all streams. Waits while the one whose item comes next is full.

        Raises InvalidArgument, naming the field, for what may not come.
        """
        async for request in requests:
            kind = kind_of(request)
            if kind == "config":
                raise errors.InvalidArgument.field("config", "comes once, in the first message")
            if kind == "end_of_input":
                self._open(request.end_of_input.name, "end_of_input.name").close()
                continue
            item = request.item
            await self._open(item.name, "item.name").put(_item(self._prepared, item.name, item.value, "item.value"))
        for stream in self.streams.values():
            stream.close()

    def _open(self, name: str, field: str) -> Channel[object]:
        stream = self.streams.get(name)
        if stream is None:
            known = ", ".join(self.streams) or "none"
            raise errors.InvalidArgument.field(
                field, f"names a stream of the graph, which takes: {known}; got {name[:_SHOWN_LETTERS]!r}"
            )
        if stream.closed:
            raise errors.InvalidArgument.field(field, f"{name!r} has ended; nothing may follow")
        return stream


def _item(prepared: Prepared, name: str, value: pb.Value, field: str) -> object:
    item = prepared.item(name, value)
    if isinstance(item, bytes) and len(item) > MAX_ITEM_BYTES:
        raise errors.InvalidArgument.field(field, f"takes {MAX_ITEM_BYTES} bytes at most, got {len(item)}")
    return item


async def run_whole(
    runner: Runner, name: str, given: Mapping[str, pb.Value], deadline: Deadline, *, routing_key: str = ""
) -> pb.RunGraphResponse:
    """Run a graph whose streams, where it has any, are given and come as a whole.

    Raises what the runner and the graph's nodes raise, InvalidArgument for a stream that is missing or of the wrong
    kind, and Exhausted when the outputs are too large.
    """
    declared = (await runner.graph(name)).inputs
    streaming = {key for key, each in declared.items() if each.stream}
    prepared = await runner.prepare(
        name, {key: value for key, value in given.items() if key not in streaming}, routing_key=routing_key
    )
    streams = {key: _each(_pieces(prepared, key, given)) for key in streaming}
    outputs = _Outputs(prepared)
    answer = await prepared.execute(deadline, streams=streams, emit=outputs.add)
    outputs.put_into(answer)
    return answer


def _pieces(prepared: Prepared, name: str, given: Mapping[str, pb.Value]) -> Iterable[object]:
    """The items of a stream that is given as a whole. Raises InvalidArgument."""
    field, kind = f"inputs.{name}", prepared.graph.inputs[name].kind
    if name not in given:
        raise errors.InvalidArgument.field(field, f"is missing; give it as a list of {kind}")
    value = given[name]
    if value.WhichOneof("kind") == "list":
        return [
            _item(prepared, name, each, f"{field}.list.values[{index}]") for index, each in enumerate(value.list.values)
        ]
    whole = prepared.item(name, value) if kind is Kind.DATA else None
    if not isinstance(whole, bytes):
        raise errors.InvalidArgument.field(field, f"is a stream; give it as a list of {kind}")
    return [whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES)]


async def _each(items: Iterable[object]) -> AsyncGenerator[object, None]:
    for item in items:
        yield item


class _Outputs:
    """The items of outputs, gathered."""

    def __init__(self, prepared: Prepared) -> None:
        self._types = prepared.runnable.compiled.output_types
        self._items: dict[str, list[pb.Value]] = {
            name: [] for name, each in prepared.graph.outputs.items() if each.each
        }
        self._room = MAX_OUTPUT_BYTES

    async def add(self, name: str, value: object) -> None:
        """Keep an item. Raises Exhausted when there is no room."""
        item = to_value(value)
        self._room -= item.ByteSize()
        if self._room < 0:
            raise errors.Exhausted(
                f"outputs.{name}: the streams that the graph gives are more than {MAX_OUTPUT_BYTES} bytes; "
                "take them piece by piece from StreamingRunGraph",
                reason="OUTPUT_TOO_LARGE",
                metadata={"limit": str(MAX_OUTPUT_BYTES)},
            )
        self._items.setdefault(name, []).append(item)

    def put_into(self, answer: pb.RunGraphResponse) -> None:
        """Data become one, everything else a list."""
        for name, items in self._items.items():
            whole = answer.outputs[name]
            declared = kind_of_type(self._types.get(name, "")) == pb.VALUE_KIND_DATA
            if all(item.HasField("data") for item in items) if items else declared:
                whole.data = b"".join(item.data for item in items)
            else:
                whole.list.values.extend(items)
