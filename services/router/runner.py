"""One call of a graph: its inputs checked, a variant chosen, the plan executed, its outputs in the contract's form."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from maas.router.v1 import router_pb2 as pb
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.durations import to_duration
from services.mesh.status import to_status
from services.router.pipelines.engine import Execution
from services.router.pipelines.graph import INPUT, Graph
from services.router.pipelines.plan import Durations, NodeRun, Observer, Run
from services.router.policies import VERSION_DIFFERS, Policies
from services.router.registry import Registry, Runnable
from services.router.values import read_inputs, read_item, to_value

Emit = Callable[[str, object], Awaitable[None]]
MAX_KEY_BYTES = 256


async def _nowhere(name: str, value: object) -> None:
    """For outputs of a variant that nobody sees."""


class Runner:
    """Runs graphs."""

    def __init__(self, registry: Registry, policies: Policies, durations: Durations, observer: Observer) -> None:
        self._registry = registry
        self._policies = policies
        self._durations = durations
        self._observer = observer

    async def graph(self, name: str) -> Graph:
        """A graph as declared. name: of a graph, or NAME@VERSION. Raises NotFound."""
        return (await self._registry.find(name)).compiled.graph

    async def prepare(self, name: str, given: Mapping[str, pb.Value], *, routing_key: str = "") -> Prepared:
        """Find a graph and check the inputs that are no streams.

        name: of a graph, or NAME@VERSION. Raises NotFound, and InvalidArgument naming the inputs.
        """
        if len(routing_key.encode()) > MAX_KEY_BYTES:
            raise errors.InvalidArgument.field("routing_key", f"takes {MAX_KEY_BYTES} bytes at most")
        runnable = await self._registry.find(name)
        graph = runnable.compiled.graph
        return Prepared(self, runnable, "@" in name, dict(given), read_inputs(graph.inputs, given), routing_key)

    async def execute(
        self, prepared: Prepared, deadline: Deadline, streams: Mapping[str, AsyncIterator[object]], emit: Emit
    ) -> pb.RunGraphResponse:
        """Run a prepared graph, or the version that its traffic policy chooses. Raises what its nodes raise."""
        graph, current = prepared.graph, prepared.runnable.compiled.version
        if prepared.pinned or not self._policies.has(f"graphs/{graph.name}"):
            done = await self._run(prepared, prepared.runnable, prepared.inputs, deadline, streams=streams, emit=emit)
            return done.response()
        answered: list[_Done] = []

        async def call(version: str, limit: Deadline | None) -> dict[str, object]:
            """limit: of a mirrored call, which nobody sees."""
            runnable, inputs = prepared.runnable, prepared.inputs
            if version != current:
                runnable = await self._registry.find(f"{graph.name}@{version}")
                inputs = _inputs_of(runnable, prepared)
            if limit is not None:
                return (await self._run(prepared, runnable, inputs, limit, streams={}, emit=_nowhere)).outputs
            answered.append(await self._run(prepared, runnable, inputs, deadline, streams=streams, emit=emit))
            return answered[0].outputs

        # A stream cannot be read twice.
        await self._policies.through(
            f"graphs/{graph.name}", prepared.routing_key, current, call, mirrored=not graph.streams
        )
        return answered[0].response()

    async def _run(
        self,
        prepared: Prepared,
        runnable: Runnable,
        inputs: Mapping[str, object],
        deadline: Deadline,
        *,
        streams: Mapping[str, AsyncIterator[object]],
        emit: Emit,
    ) -> _Done:
        run = Run(prepared.graph.name, prepared.routing_key)
        execution = Execution(
            runnable.plan,
            run,
            deadline,
            durations=self._durations,
            observer=self._observer,
            streams={INPUT + name: items for name, items in streams.items()},
            emit=emit,
        )
        return _Done(runnable, run, await execution.execute(inputs))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph with its inputs, ready to run. pinned: the caller named its version."""

    runner: Runner
    runnable: Runnable
    pinned: bool
    given: Mapping[str, pb.Value]
    inputs: Mapping[str, object]
    routing_key: str

    @property
    def graph(self) -> Graph:
        """The graph as declared."""
        return self.runnable.compiled.graph

    def item(self, name: str, value: pb.Value) -> object:
        """An item of a stream that the graph takes. Raises InvalidArgument when it is of the wrong kind."""
        return read_item(name, self.graph.inputs[name], value)

    async def execute(
        self, deadline: Deadline, *, streams: Mapping[str, AsyncIterator[object]], emit: Emit
    ) -> pb.RunGraphResponse:
        """Run it. streams: items of each input that is a stream, by its name. emit: takes the items of outputs."""
        return await self.runner.execute(self, deadline, streams, emit)


@dataclass(frozen=True, slots=True)
class _Done:
    """A run that ended well."""

    runnable: Runnable
    run: Run
    outputs: dict[str, object]

    def response(self) -> pb.RunGraphResponse:
        return pb.RunGraphResponse(
            outputs={name: to_value(value) for name, value in self.outputs.items()},
            nodes=[_node(self.runnable, each) for each in self.run.nodes.values()],
            version=self.runnable.compiled.version,
        )


def stream_inputs(graph: Graph) -> dict[str, str]:
    """The kinds of the items of the streams that a graph takes, by name."""
    return {name: str(each.kind) for name, each in graph.inputs.items() if each.stream}


def _inputs_of(runnable: Runnable, prepared: Prepared) -> dict[str, object]:
    """The inputs for the version that a policy chose; those given are right for the current one.

    Raises FailedPrecondition when this one takes others, which is no fault of the caller's.
    """
    chosen = runnable.compiled
    cause = "it takes other streams"
    try:
        if stream_inputs(chosen.graph) == stream_inputs(prepared.graph):
            return read_inputs(chosen.graph.inputs, prepared.given)
    except errors.InvalidArgument as error:
        cause = error.message
    raise errors.FailedPrecondition(
        f"the graph's traffic policy chose version {chosen.version}, whose inputs differ from those of the current "
        f"one; the policy must be changed: {cause}",
        reason=VERSION_DIFFERS,
        metadata={"graph": chosen.graph.name, "version": chosen.version},
    )


def _node(runnable: Runnable, node: NodeRun) -> pb.NodeRun:
    method = runnable.compiled.methods.get(node.node)
    return pb.NodeRun(
        node=node.node,
        method=method.name if method else "",
        start_offset=to_duration(node.start_seconds),
        end_offset=to_duration(node.end_seconds),
        status=to_status(node.error) if node.error else None,
        runs=node.runs,
        extra_calls=node.extra_calls,
        cached=node.cached,
    )
