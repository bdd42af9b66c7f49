"""Runs a graph: blocks in their order, one deadline for all, the first failure ends it and cancels the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.graph import Block, Graph, Node, Parallel

# What expressions may use: "inputs.<name>" for each input, and each node's answer by the node's name.
Scope = Mapping[str, object]


class Caller(Protocol):
    """Makes the calls of one graph."""

    async def call(self, node: str, scope: Scope, deadline: Deadline) -> object:
        """The answer of a node. Raises MeshError. Cancelling it cancels the call."""
        ...


@dataclass(frozen=True, slots=True)
class NodeRun:
    """When a node ran, in seconds from the start of the graph."""

    node: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """A graph that ran to its end. nodes: in the order in which they began."""

    scope: Scope
    nodes: tuple[NodeRun, ...]


async def run(graph: Graph, inputs: Mapping[str, object], caller: Caller, deadline: Deadline) -> Finished:
    """Run a graph to its end.

    inputs: by name, of the declared kinds.
    Raises the error of the node that failed first, graph and node in its metadata. Cancelling it cancels every node.
    """
    running = _Running(graph.name, caller, deadline, {f"inputs.{name}": value for name, value in inputs.items()})
    await running.block(graph.run)
    return running.finished()


class _Running:
    """One run of one graph."""

    def __init__(self, graph: str, caller: Caller, deadline: Deadline, scope: dict[str, object]) -> None:
        self._graph = graph
        self._caller = caller
        self._deadline = deadline
        # Nodes of parallel blocks write to one scope; that none reads another's answer was checked when it was loaded.
        self._scope = scope
        self._start = time.monotonic()
        self._began: dict[str, float] = {}
        self._ended: dict[str, float] = {}

    def finished(self) -> Finished:
        return Finished(
            self._scope, tuple(NodeRun(node, began, self._ended[node]) for node, began in self._began.items())
        )

    async def block(self, block: Block) -> None:
        if isinstance(block, Node):
            await self._node(block.node)
        elif isinstance(block, Parallel):
            await self._parallel(block)
        else:
            for each in block.sequence:
                await self.block(each)

    async def _parallel(self, block: Parallel) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in block.parallel:
                    tasks.create_task(self.block(each))
        except BaseExceptionGroup as group:
            # In the order in which they happened; the others followed from the cancellation.
            raise group.exceptions[0] from None

    async def _node(self, node: str) -> None:
        try:
            self._deadline.require_seconds()
            self._began[node] = time.monotonic() - self._start
            self._scope[node] = await self._caller.call(node, self._scope, self._deadline)
        except errors.MeshError as error:
            raise at_node(error, self._graph, node) from None
        self._ended[node] = time.monotonic() - self._start


def at_node(error: errors.MeshError, graph: str, node: str) -> errors.MeshError:
    """The same error, telling in which graph and at which node it happened."""
    return type(error)(
        f"{node}: {error.message}",
        reason=error.reason,
        metadata={**error.metadata, "graph": graph, "node": node},
        violations=error.violations,
        retry_after_seconds=error.retry_after_seconds,
    )
