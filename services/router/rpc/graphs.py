"""ValidateGraph, GetGraph, ListGraphs, CreateGraph, UpdateGraph and DeleteGraph: graphs as what is kept."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from maas.router.v1 import graph_pb2 as pb
from maas.router.v1 import router_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.paging import name_before, token_after
from services.mesh.request import limited
from services.mesh.server import budget
from services.router.compiling import CompiledGraph, compile_graph, from_proto, read, to_json, to_proto
from services.router.drawing import mermaid
from services.router.pipelines.documents import GRAPH, Document, Store
from services.router.pipelines.graph import MAX_FILE_BYTES, GraphError, Problem
from services.router.registry import Entry, Registry, Runnable

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
# Graphs of a page may be large; clients take 4 MiB by default.
_PAGE_BYTES = 2 * 1024 * 1024
# An error travels in headers, which hold 8 KiB.
_SHOWN_PROBLEMS = 8
_SHOWN_LETTERS = 300

_Source = pb.ValidateGraphRequest | pb.CreateGraphRequest | pb.UpdateGraphRequest


def require_store(store: Store | None) -> Store:
    """The store. Raises FailedPrecondition when the mesh has none."""
    if store is None:
        raise errors.FailedPrecondition(
            "this mesh keeps nothing of its callers; its operator has to give the router a ROUTER_STORE_URL",
            reason="NO_STORE",
        )
    return store


class GraphRpcs(router_pb2_grpc.RouterServiceServicer):
    """The RPCs that show and keep graphs."""

    _registry: Registry
    # None when this mesh keeps nothing.
    _store: Store | None

    async def ValidateGraph(self, request: pb.ValidateGraphRequest, context: Context) -> pb.ValidateGraphResponse:
        """What is wrong with a graph."""
        return await self._registry.in_turn(_validated, request)

    async def GetGraph(self, request: pb.GetGraphRequest, context: Context) -> pb.GetGraphResponse:
        """One graph."""
        name = _required(request.name)
        entry = await self._registry.find(name) if "@" in name else self._registry.entry(name)
        return pb.GetGraphResponse(graph=await asyncio.to_thread(_shown, entry))

    async def ListGraphs(self, request: pb.ListGraphsRequest, context: Context) -> pb.ListGraphsResponse:
        """Some graphs, by name."""
        size = limited("page_size", request.page_size, default=50, low=1, high=100)
        after = name_before(request.page_token, _NAME, "ListGraphs")
        if self._store:
            self._store.list(GRAPH)  # Raises as long as nobody knows what is kept.
        entries = [entry for entry in self._registry.entries() if _name(entry) > after]
        return await asyncio.to_thread(_page, entries, size)

    async def CreateGraph(self, request: pb.CreateGraphRequest, context: Context) -> pb.CreateGraphResponse:
        """A new graph."""
        store = require_store(self._store)
        compiled = await self._registry.in_turn(_compiled, request)
        name = compiled.graph.name
        if self._registry.built_in(name):
            raise errors.AlreadyExists(
                f"there is a graph {name!r}, which came with the mesh; choose another name",
                reason="GRAPH_ALREADY_EXISTS",
            )
        self._registry.adopt(compiled)
        async with until(budget(context)):
            document = await store.create(GRAPH, name, to_json(compiled.graph), compiled.version)
        return pb.CreateGraphResponse(graph=_filled(to_proto(compiled.graph), compiled.version, document))

    async def UpdateGraph(self, request: pb.UpdateGraphRequest, context: Context) -> pb.UpdateGraphResponse:
        """Another version of a graph."""
        store = require_store(self._store)
        compiled = await self._registry.in_turn(_compiled, request)
        name = compiled.graph.name
        self._require_own(name)
        self._registry.adopt(compiled)
        async with until(budget(context)):
            document = await store.put(
                GRAPH, name, to_json(compiled.graph), compiled.version, etag=request.etag or request.graph.etag
            )
        return pb.UpdateGraphResponse(graph=_filled(to_proto(compiled.graph), compiled.version, document))

    async def DeleteGraph(self, request: pb.DeleteGraphRequest, context: Context) -> pb.DeleteGraphResponse:
        """A graph less."""
        store, name = require_store(self._store), _required(request.name)
        self._require_own(name)
        async with until(budget(context)):
            await store.delete(GRAPH, name, etag=request.etag)
        return pb.DeleteGraphResponse()

    def _require_own(self, name: str) -> None:
        if self._registry.built_in(name):
            raise errors.FailedPrecondition(
                f"the graph {name!r} came with the mesh; create one of another name",
                reason="GRAPH_BUILT_IN",
                metadata={"graph": name},
            )


def _compile(request: _Source) -> CompiledGraph:
    """Raises GraphError, and InvalidArgument when there is no graph or it is too large."""
    field = request.WhichOneof("source")
    if field is None:
        raise errors.InvalidArgument.field("graph", "is required, or yaml instead")
    size = len(request.yaml.encode()) if field == "yaml" else request.graph.ByteSize()
    if size > MAX_FILE_BYTES:
        raise errors.InvalidArgument.field(field, f"takes {MAX_FILE_BYTES} bytes at most, got {size}")
    if field == "graph":
        return compile_graph(from_proto(request.graph))
    source = read(request.yaml)
    return compile_graph(source.graph, line=source.line)


def _compiled(request: _Source) -> CompiledGraph:
    """Raises InvalidArgument with a violation for each problem."""
    try:
        return _compile(request)
    except GraphError as error:
        problems = error.problems
    field = request.WhichOneof("source") or ""
    violations = [_violation(field, problem) for problem in problems[:_SHOWN_PROBLEMS]]
    more = len(problems) - len(violations)
    sentence = f"{violations[0].field}: {violations[0].description}"
    raise errors.InvalidArgument(
        f"{sentence} (ValidateGraph tells {len(problems)} problems)" if more else sentence,
        reason="GRAPH_INVALID",
        violations=violations,
    )


def _violation(field: str, problem: Problem) -> errors.Violation:
    line = f"line {problem.line}: " if problem.line else ""
    return errors.Violation(
        ".".join(part for part in (field, problem.node, problem.path) if part)[:_SHOWN_LETTERS],
        f"{line}{problem.description}"[:_SHOWN_LETTERS],
    )


def _validated(request: pb.ValidateGraphRequest) -> pb.ValidateGraphResponse:
    try:
        compiled = _compile(request)
    except GraphError as error:
        return pb.ValidateGraphResponse(
            problems=[
                pb.GraphProblem(node=each.node, path=each.path, line=each.line, description=each.description)
                for each in error.problems
            ]
        )
    graph = to_proto(compiled.graph)
    graph.version = compiled.version
    return pb.ValidateGraphResponse(graph=graph, mermaid=mermaid(compiled.graph))


def _name(entry: Entry) -> str:
    return entry.compiled.graph.name if isinstance(entry, Runnable) else entry.document.name


def _shown(entry: Entry) -> pb.Graph:
    """A graph; of one that cannot be read its name and what is output only."""
    if isinstance(entry, Runnable):
        return _filled(to_proto(entry.compiled.graph), entry.compiled.version, entry.document)
    message = to_proto(entry.graph) if entry.graph else pb.Graph(name=entry.document.name)
    return _filled(message, entry.document.versions[0][0], entry.document)


def _filled(message: pb.Graph, version: str, document: Document | None) -> pb.Graph:
    """With all that is output only. document: None when the graph came with the mesh."""
    message.version = version
    message.built_in = document is None
    message.versions.extend([kept for kept, _ in document.versions] if document else [version])
    if document:
        message.etag = document.etag
        message.create_time.FromMicroseconds(document.create_time)
        if version == message.versions[0]:
            message.update_time.FromMicroseconds(document.update_time)
    return message


def _page(entries: list[Entry], size: int) -> pb.ListGraphsResponse:
    """The first of these graphs: as many as are asked for and as an answer holds."""
    page = pb.ListGraphsResponse()
    taken = 0
    for entry in entries[:size]:
        graph = _shown(entry)
        taken += graph.ByteSize()
        if page.graphs and taken > _PAGE_BYTES:
            break
        page.graphs.append(graph)
    if len(page.graphs) < len(entries):
        page.next_page_token = token_after(page.graphs[-1].name)
    return page


def _required(name: str) -> str:
    if not name:
        raise errors.InvalidArgument.field("name", "is required")
    return name


@asynccontextmanager
async def until(deadline: Deadline) -> AsyncIterator[None]:
    """Bound what is asked of the store. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(deadline.require_seconds()):
            yield
    except TimeoutError:
        raise errors.DeadlineExceeded("the router's store did not answer in time") from None
