"""The graphs that this router runs: those that came with it and those that are kept, compiled and bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import structlog
from cachetools import LRUCache

from services.mesh import errors
from services.router.compiling import Callers, CompiledGraph, compile_graph, from_document
from services.router.pipelines.documents import GRAPH, Document, Store
from services.router.pipelines.graph import Graph, GraphError
from services.router.pipelines.plan import Plan

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

# Versions that stay ready to run although no graph has them now; others are compiled when they are asked for, which
# takes 5 to 50 ms. Each is about 1 to 3 MB.
_OTHER_VERSIONS = 64
_SHOWN_LETTERS = 500


@dataclass(frozen=True, slots=True)
class Runnable:
    """A graph that can run. document: of a kept one, what is kept now of its name, whichever version this is."""

    compiled: CompiledGraph
    plan: Plan
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A kept graph that cannot run. graph: None when it cannot even be read."""

    document: Document
    graph: Graph | None
    error: errors.MeshError


Entry = Runnable | Broken


class Registry:
    """The graphs by name. A kept one goes before one of the same name that came with the router."""

    def __init__(self, built_in: Mapping[str, CompiledGraph], callers: Callers, store: Store | None) -> None:
        """built_in: by name. What is kept already is compiled at once, what changes later beside the calls."""
        self._callers = callers
        self._store = store
        self._built_in = {name: Runnable(compiled, compiled.bind(callers)) for name, compiled in built_in.items()}
        self._kept: dict[str, Entry] = {}
        self._others: LRUCache[tuple[str, str], Runnable] = LRUCache(_OTHER_VERSIONS)
        # Bounded by what the store keeps.
        self._waiting: dict[str, Document] = {}
        self._work: asyncio.Task[None] | None = None
        # Two at a time would take no less time, and keep calls waiting for Python's lock.
        self._compiling = asyncio.Lock()
        self._started = False
        if store:
            store.listen(self._changed)
        self._started = True

    def pick(self, name: str) -> Runnable:
        """A graph by NAME or NAME@VERSION.

        Raises NotFound, FailedPrecondition when it does not fit this router, and Unavailable while nobody knows whether
        it is kept. A version that nobody used lately is compiled here; see `find`.
        """
        entry = self.entry(name)
        if isinstance(entry, Broken):
            # The same again; it must not grow by where it was raised before.
            raise entry.error.with_traceback(None)
        return entry

    async def find(self, name: str) -> Runnable:
        """As `pick`, but nothing else stands still while a version is compiled."""
        plain, _, version = name.partition("@")
        entry = self._kept.get(plain)
        body = _bodies(entry).get(version) if entry and version != _version(entry) else None
        if body is not None:
            async with self._compiling:
                if (plain, version) not in self._others:
                    self._add(plain, version, await asyncio.to_thread(_try_compile, plain, version, body))
        return self.pick(name)

    def entry(self, name: str) -> Entry:
        """As `pick`, but a graph that cannot run is told, too."""
        plain, _, version = name.partition("@")
        entry = self._kept.get(plain) or self._built_in.get(plain)
        if entry is None:
            if self._store:
                self._store.get(GRAPH, plain)
            raise errors.NotFound.named("graph", plain, [*(self._kept.keys() | self._built_in.keys())])
        if not version or version == _version(entry):
            return entry
        bodies = _bodies(entry)
        if version not in bodies:
            raise errors.NotFound.named("graph version", version, [*(bodies or {_version(entry)})])
        known = self._others.get((plain, version))
        if known is None:
            known = self._add(plain, version, _try_compile(plain, version, bodies[version]))
        return Runnable(known.compiled, known.plan, entry.document)

    def entries(self) -> list[Entry]:
        """All graphs in their current versions, by name, those that cannot run among them."""
        return [entry for _, entry in sorted((self._built_in | self._kept).items())]

    def all(self) -> list[Runnable]:
        """All graphs that can run, in their current versions, by name."""
        return [entry for entry in self.entries() if isinstance(entry, Runnable)]

    def built_in(self, name: str) -> bool:
        """Whether the graph of this name came with the router."""
        return name in self._built_in and name not in self._kept

    def adopt(self, compiled: CompiledGraph) -> None:
        """Take a graph that is compiled already and about to be kept, so that it can run as soon as it is."""
        self._add(compiled.graph.name, compiled.version, compiled)

    async def in_turn(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compile something beside the calls, when nothing else is being compiled."""
        async with self._compiling:
            return await asyncio.to_thread(work, *args, **kwargs)

    def _add(self, name: str, version: str, compiled: CompiledGraph | errors.MeshError) -> Runnable:
        if isinstance(compiled, errors.MeshError):
            raise compiled
        runnable = self._others[name, version] = Runnable(compiled, compiled.bind(self._callers))
        return runnable

    def _changed(self, kind: str, name: str, document: Document | None) -> None:
        """Told by the store."""
        if kind != GRAPH:
            return
        self._waiting.pop(name, None)
        if document is None:
            self._replace(name, None)
        elif not self._started or (name, document.versions[0][0]) in self._others:
            self._replace(name, self._entry(document))
        else:
            # Those who call get the graph as it was until then.
            self._waiting[name] = document
            if self._work is None or self._work.done():
                self._work = asyncio.create_task(self._take_up())

    async def _take_up(self) -> None:
        """Compile what others changed, one after the other."""
        while self._waiting:
            name, document = next(iter(self._waiting.items()))
            compiled = await self.in_turn(_try_compile, name, *document.versions[0])
            # It may have changed again meanwhile.
            if self._waiting.get(name) is document:
                del self._waiting[name]
                self._replace(name, self._entry(document, compiled))

    def _entry(self, document: Document, compiled: CompiledGraph | errors.MeshError | None = None) -> Entry:
        """What is kept now of a name. compiled: None when that is yet to be done."""
        version, body = document.versions[0]
        known = self._others.get((document.name, version))
        if known:
            return Runnable(known.compiled, known.plan, document)
        compiled = compiled or _try_compile(document.name, version, body)
        if isinstance(compiled, errors.MeshError):
            return Broken(document, _read(body), compiled)
        return Runnable(compiled, compiled.bind(self._callers), document)

    def _replace(self, name: str, entry: Entry | None) -> None:
        before = self._kept.pop(name, None)
        if isinstance(before, Runnable):
            # A traffic policy may still want it.
            self._others[name, before.compiled.version] = before
        if entry:
            self._kept[name] = entry


def _version(entry: Entry) -> str:
    return entry.compiled.version if isinstance(entry, Runnable) else entry.document.versions[0][0]


def _bodies(entry: Entry) -> dict[str, str]:
    """By version."""
    return dict(entry.document.versions) if entry.document else {}


def _read(body: str) -> Graph | None:
    try:
        return from_document(json.loads(body))
    except ValueError:
        return None


def _try_compile(name: str, version: str, body: str) -> CompiledGraph | errors.MeshError:
    """A kept graph, or why it cannot run: it could when it was kept, perhaps by another version of the router."""
    try:
        return compile_graph(from_document(json.loads(body)))
    except GraphError as error:
        cause = str(error)[:_SHOWN_LETTERS]
    except ValueError:
        cause = "it cannot be read"
    except Exception:  # one graph must not stop the others
        log.exception("a kept graph could not be compiled", graph=name, version=version)
        cause = "it cannot be compiled"
    log.warning("a kept graph cannot run", graph=name, version=version, cause=cause)
    return errors.FailedPrecondition(
        f"the graph {name!r} is kept, but does not fit this version of the router; update it: {cause}",
        reason="GRAPH_BROKEN",
        metadata={"graph": name, "version": version},
    )
