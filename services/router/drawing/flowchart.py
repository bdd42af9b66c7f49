"""A graph as a Mermaid flowchart: an arrow leads from each value to what is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.router.drawing.outline import STREAM_MARK, Part, input_text, outline, output_takes, short
from services.router.pipelines.graph import INPUT, Graph

# Mermaid reads some letters as markup, even between quotes; #N; is the letter of that number.
_MARKUP = re.compile(r"[^\w .,/=()?:'…≋-]|(?<![^\W_])_|_(?![^\W_])|^-")
_LETTERS = 200


def mermaid(graph: Graph) -> str:
    """The flowchart's text. Every node is in it once, under its name; what is inside something stands in its frame.

    Thin arrows are values, thick ones streams, dotted ones only the order. None leads to or from a frame: Mermaid fails
    at some of those when frames are nested.
    """
    chart = _Chart()
    made = outline(graph)
    lines = ["flowchart TD", f"  accTitle: {graph.name}", f"  accDescr: {_line(graph.summary) or graph.name}"]
    lines += [f'  in_{name}(["{_text(input_text(name, given))}"])' for name, given in graph.inputs.items()]
    lines += chart.draw(made, "  ")
    for name, output in graph.outputs.items():
        mark = f"{STREAM_MARK} " if output.each else ""
        lines.append(f'  out_{name}(["{_text(mark + name)}"])')
        for source in output_takes(graph, output):
            chart.link(_id(source), f"out_{name}", "==>" if output.each else "-->")
    chart.order(made)
    lines += [f"  {line}" for line in chart.arrows]
    if chart.optional:
        lines += ["  classDef optional stroke-dasharray: 5 4", f"  class {','.join(chart.optional)} optional"]
    return "\n".join(lines) + "\n"


@dataclass
class _Chart:
    """What was drawn so far. boxes: names of parts that have none. linked: pairs between which an arrow is."""

    arrows: list[str] = field(default_factory=list)
    optional: list[str] = field(default_factory=list)
    boxes: dict[int, str] = field(default_factory=dict)
    linked: set[tuple[str, str]] = field(default_factory=set)

    def draw(self, part: Part, indent: str) -> Iterator[str]:
        """The lines of a part with all inside it."""
        if part.kind in ("sequence", "way") and part.parts:
            for each in part.parts:
                yield from self.draw(each, indent)
        elif part.node:
            yield from self._node(part, indent)
        elif part.parts:
            yield f'{indent}subgraph {self._box(part)}["{_text(part.title)}"]'
            for each in part.parts:
                yield from self.draw(each, f"{indent}  ")
            yield f"{indent}end"
        else:
            yield f'{indent}{self._box(part)}["{_text(part.about)}"]'

    def link(self, begin: str, end: str, arrow: str = "-->") -> None:
        """An arrow, if there is none yet."""
        if (begin, end) not in self.linked:
            self.linked.add((begin, end))
            self.arrows.append(f"{begin} {arrow} {end}")

    def order(self, part: Part) -> None:
        """Dotted arrows from a part of a sequence to the next, where no value leads from the one into the other."""
        for each in part.parts:
            self.order(each)
        if part.kind == "sequence":
            for first, second in zip(part.parts, part.parts[1:], strict=False):
                froms, tos = (list(self._leaves(each)) for each in (first, second))
                if not any((begin, end) in self.linked for begin in froms for end in tos):
                    self.link(self._values(first)[-1], tos[0], "-.->")

    def _node(self, part: Part, indent: str) -> Iterator[str]:
        place = _id(part.node)
        facts = [f"<b>{_text(part.node)}</b>", *map(_text, (part.about, *part.notes))]
        within = indent
        if part.parts:
            yield f'{indent}subgraph {self._box(part)}[" "]'
            within = f"{indent}  "
            for each in part.parts:
                yield from self.draw(each, within)
        yield f'{within}{place}["{"<br/>".join(fact for fact in facts if fact)}"]'
        if part.parts:
            yield f"{indent}end"
        if part.optional:
            self.optional.append(place)
        if part.each:
            self.link(_id(part.each), place, "==>")
        for each in part.parts:
            for value in self._values(each):
                self.link(value, place, f'-->|"{_text(each.title)}"|' if each.kind == "way" else "-->")
        for name in part.takes:
            self.link(_id(name), place)

    def _values(self, part: Part) -> list[str]:
        """Where the value of a part comes from."""
        if part.node or not part.parts:
            return [_id(part.node) if part.node else self._box(part)]
        last = part.parts[-1:] if part.kind in ("sequence", "way") else part.parts
        return [value for each in last for value in self._values(each)]

    def _leaves(self, part: Part) -> Iterator[str]:
        """All to which or from which an arrow can lead."""
        for each in part.all():
            if each.node or not each.parts:
                yield _id(each.node) if each.node else self._box(each)

    def _box(self, part: Part) -> str:
        return self.boxes.setdefault(id(part), f"box_{len(self.boxes)}")


def _id(name: str) -> str:
    return f"in_{name.removeprefix(INPUT)}" if name.startswith(INPUT) else f"node_{name}"


def _text(text: str) -> str:
    """A text between quotes, every letter as it is; only two dollars, which mean a formula, are moved apart."""
    apart = re.sub(r"\$(?=\$)", "$ ", short(text, _LETTERS))
    return _MARKUP.sub(lambda found: f"#{ord(found[0])};", apart)


def _line(text: str) -> str:
    """A text up to the end of its line, which some letters end."""
    return re.sub(r"[^\w .,/()'-]", " ", short(text, _LETTERS)).strip()
