"""What is wrong with a graph, gathered while it is compiled."""

from __future__ import annotations

from collections.abc import Callable

from services.router.pipelines.graph import GraphError, Problem

_MAX_PROBLEMS = 20


class Problems:
    """The first problem of each node, and of each place outside of nodes."""

    def __init__(self, source: str, line: Callable[[str, str], int]) -> None:
        """source: what errors call the graph. line: of a place in it, by node and path."""
        self._source = source
        self._line = line
        self._found: dict[str, Problem] = {}

    def add(self, node: str, path: str, description: str) -> None:
        """Something is wrong. node, path: where, each may be empty."""
        key = node or f".{path}"
        if key not in self._found and len(self._found) < _MAX_PROBLEMS:
            self._found[key] = Problem(node, path, description, self._line(node, path))

    @property
    def any(self) -> bool:
        """Whether there are some."""
        return bool(self._found)

    def raise_any(self) -> None:
        """Raise GraphError if there are problems, in the order of lines."""
        if self._found:
            found = sorted(self._found.values(), key=lambda problem: problem.line)
            raise GraphError(self._source, tuple(found))
