"""Around each run of a node: its record, its span, and errors that tell where they happened."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from services.mesh import errors
from services.router.pipelines.plan import NodeRun, Observer, Run


class Watch:
    """A context manager around one run of a node; gives its record."""

    __slots__ = ("_graph", "_node", "_record", "_run", "_span")

    def __init__(self, run: Run, observer: Observer, graph: str, node: str) -> None:
        self._run = run
        self._graph = graph
        self._node = node
        self._span = observer.node(graph, node)

    def __enter__(self) -> NodeRun:
        self._record = self._run.node(self._node)
        self._span.__enter__()
        return self._record

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._record.end_seconds = time.monotonic() - self._run.began
        self._span.__exit__(kind, error, traceback)
        if isinstance(error, errors.MeshError):
            self._record.error = at_node(error, self._graph, self._node)
            raise self._record.error from None
        if isinstance(error, asyncio.CancelledError) and self._record.error is None:
            self._record.error = cancelled(self._graph, self._node)


def at_node(error: errors.MeshError, graph: str, node: str) -> errors.MeshError:
    """The same error, telling in which graph and at which node it happened; of nodes in each other the innermost."""
    if "node" in error.metadata:
        return error
    return _at(error, node, {"graph": graph, "node": node})


def at_graph(error: errors.MeshError, graph: str, place: str) -> errors.MeshError:
    """The same error, telling in which graph it happened. place: where, outside of nodes."""
    return _at(error, place, {"graph": graph})


def cancelled(graph: str, node: str) -> errors.MeshError:
    """Of a node that was not needed any more."""
    return at_node(errors.Cancelled("it was cancelled since its answer was not needed any more"), graph, node)


def _at(error: errors.MeshError, place: str, metadata: dict[str, str]) -> errors.MeshError:
    return type(error)(
        f"{place}: {error.message}",
        reason=error.reason,
        metadata={**error.metadata, **metadata},
        violations=error.violations,
        retry_after_seconds=error.retry_after_seconds,
    )
