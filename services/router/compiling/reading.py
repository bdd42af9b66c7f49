"""From the text of a graph's file to a Graph, with the line of everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from services.router.pipelines.graph import BLOCKS, MAX_FILE_BYTES, Graph, GraphError, Problem

_MAX_PROBLEMS = 20
_MAX_NESTING = 64
# What holds blocks: as a mapping, and as a list.
_BLOCK, _BLOCK_LISTS = "run", ("sequence", "parallel", "stream")

# A node, or "" outside of all, and a place in it, such as "request.audio.content" or "switch[0].when".
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    """A graph as it was read. name: of its file."""

    graph: Graph
    name: str
    lines: Mapping[Place, int]

    def line(self, node: str, path: str) -> int:
        """The line of a place, or of the nearest around it; 0 when there is none."""
        return _line(self.lines, node, path)


class _Loader(yaml.SafeLoader):
    """Refuses texts that cost more than their size, before they do."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node. Raises MarkedYAMLError."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs have no types for it
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            # It stands for a whole block: a few in each other make a short text enormous.
            raise yaml.MarkedYAMLError(problem=f"an alias, *{event.anchor}; write it out", problem_mark=mark)
        if self._depth == _MAX_NESTING:
            # Of brackets in each other the library takes the square of their number.
            raise yaml.MarkedYAMLError(problem=f"nested more than {_MAX_NESTING} deep", problem_mark=mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read(text: str, *, source: str = "") -> Source:
    """Read a graph.

    source: what errors call it, the file's name. Raises GraphError, with the first problem of each node.
    """

    def wrong(problem: str, line: int = 0) -> GraphError:
        return GraphError(source, (Problem("", "", problem, line),))

    if len(text.encode()) > MAX_FILE_BYTES:
        raise wrong(f"larger than {MAX_FILE_BYTES // 1024} KiB")
    try:
        root = yaml.compose(text, Loader=_Loader)
        document = _plain(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise wrong(f"cannot be read: {error.problem or error.context}", mark.line + 1 if mark else 0) from None
    except (yaml.YAMLError, ValueError) as error:
        raise wrong(f"cannot be read: {' '.join(str(error).split())}") from None
    lines = dict(_lines(root, "", "")) if root is not None else {}
    try:
        return Source(Graph.model_validate(document), source, lines)
    except ValidationError as error:
        raise GraphError(source, problems_of(error, document, lines)) from None


def problems_of(error: ValidationError, document: Any, lines: Mapping[Place, int]) -> tuple[Problem, ...]:
    """What pydantic found wrong, the first of each node."""
    found: dict[str, Problem] = {}
    told = error.errors(include_url=False, include_input=False)
    # Lists from which wrong items have been dropped.
    lists = {each["loc"][:length] for each in told for length in range(len(each["loc"]))}
    for each in told:
        if each["type"] == "too_short" and each["loc"] in lists:
            continue
        node, path = _place(document, each["loc"])
        description = each["msg"].removeprefix("Value error, ")
        key = node or path
        if key not in found and len(found) < _MAX_PROBLEMS:
            found[key] = Problem(node, path, description, _line(lines, node, path))
    return tuple(found.values())


def _line(lines: Mapping[Place, int], node: str, path: str) -> int:
    while (node, path) not in lines and path:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get((node, path), 0)


def _plain(node: yaml.Node) -> Any:
    """The value of a YAML node."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each) for each in node.value]
    if not isinstance(node, yaml.MappingNode):
        # Builds a number, a truth value or a text by YAML's own rules.
        return yaml.SafeLoader("").construct_object(node)
    mapping: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key is no plain word", problem_mark=key.start_mark)
        if key.value in mapping:
            raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands there twice", problem_mark=key.start_mark)
        mapping[key.value] = _plain(value)
    return mapping


def _lines(node: yaml.Node, owner: str, path: str) -> Iterator[tuple[Place, int]]:
    """The line of every place, by the node that it is in."""
    if isinstance(node, yaml.MappingNode):
        names = [value.value for key, value in node.value if key.value == "node" and isinstance(value, yaml.ScalarNode)]
        if names:
            owner, path = names[0], ""
            yield (owner, path), node.start_mark.line + 1
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            yield (owner, inner), key.start_mark.line + 1
            yield from _lines(value, owner, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            inner = f"{path}[{number}]"
            yield (owner, inner), value.start_mark.line + 1
            yield from _lines(value, owner, inner)


def _place(document: Any, location: tuple[int | str, ...]) -> Place:
    """Pydantic's place of an error, without the kinds of blocks that it puts between."""
    node, path, place = "", "", document
    holder: int | str = ""
    previous: int | str = ""
    for step in location:
        is_kind = step in BLOCKS and (previous == _BLOCK or (isinstance(previous, int) and holder in _BLOCK_LISTS))
        if isinstance(step, str):
            holder = step
        previous = "" if is_kind else step
        if is_kind:
            continue
        known = isinstance(step, int) if isinstance(place, list) else isinstance(place, dict) and step in place
        place = place[step] if known else None
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
        if isinstance(place, dict) and isinstance(place.get("node"), str):
            node, path = place["node"], ""
    return node, path.lstrip(".")
