"""A graph as an SVG picture: what comes later stands below, what runs at the same time side by side.

A part is drawn where it stands: the picture of each is made of the pictures of those inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from services.router.drawing.outline import STREAM_MARK, Part, outline, output_takes, short
from services.router.drawing.shapes import Figure, Line, box, column, curve, frame, pill, row, text, wrapped
from services.router.pipelines.graph import Graph

_PILLS_WIDTH = 900.0
_MARGIN = 24.0
_GAP = 22.0
_ARROW = 30.0
_STYLE = """
.maas-graph{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;color:#1f2328}
.maas-graph text{fill:currentColor}
.maas-graph .dim{fill:#59636e}
.maas-graph .page{fill:#fff}
.maas-graph .box{fill:#fff;stroke:#57606a}
.maas-graph .frame{fill:#0969da;fill-opacity:.045;stroke:#8c959f}
.maas-graph .pill{fill:#f6f8fa;stroke:#8c959f}
.maas-graph .optional{stroke-dasharray:5 4}
.maas-graph .arrow{fill:none;stroke:#57606a;stroke-width:1.4}
.maas-graph .head{fill:#57606a}
.maas-graph .live{stroke:#0969da;stroke-width:2.2}
.maas-graph .head.live{fill:#0969da;stroke:none}
@media (prefers-color-scheme:dark){
.maas-graph{color:#e6edf3}
.maas-graph .dim{fill:#9198a1}
.maas-graph .page{fill:#0d1117}
.maas-graph .box{fill:#161b22;stroke:#8b949e}
.maas-graph .frame{fill:#58a6ff;stroke:#6e7681}
.maas-graph .pill{fill:#21262d;stroke:#6e7681}
.maas-graph .arrow{stroke:#9198a1}
.maas-graph .head{fill:#9198a1}
.maas-graph .live{stroke:#58a6ff}
.maas-graph .head.live{fill:#58a6ff}
}
"""


def svg(graph: Graph) -> str:
    """The picture, in light and in dark colours as whoever looks at it prefers. Its texts are escaped.

    graph: one that can run. Of one that cannot, stages whose source does not exist may be missing.
    """
    inputs = _pills(
        pill([Line(name, "name"), Line(_kind(graph, name), "dim")], live=given.stream)
        for name, given in graph.inputs.items()
    )
    outputs = _pills(
        pill([Line(name, "name"), Line(_made_of(graph, name), "dim")], live=bool(output.each))
        for name, output in graph.outputs.items()
    )
    parts = [each for each in (inputs, _drawn(outline(graph)), outputs) if each]
    whole = column(parts, _ARROW, arrows=True)
    head = text([Line(short(graph.name), "title"), *wrapped(short(graph.summary, 500), "dim", 90)])
    width = max(whole.width, head.width) + 2 * _MARGIN
    top = _MARGIN + head.height + _GAP
    height = top + whole.height + _MARGIN
    page = f'<rect class="page" width="{width:g}" height="{height:g}"/>'
    shapes = [
        f"<title>{escape(short(graph.name))}</title>",
        f"<desc>{escape(short(graph.summary, 500))}</desc>",
        f"<style>{_STYLE}</style>",
        page,
        head.at(_MARGIN, _MARGIN),
        whole.at((width - whole.width) / 2, top),
    ]
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    body = "\n".join(shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="maas-graph" role="img" {size}>\n{body}\n</svg>\n'


def _kind(graph: Graph, name: str) -> str:
    given = graph.inputs[name]
    mark = f"{STREAM_MARK} " if given.stream else ""
    return f"{mark}{given.kind}" + ("" if given.otherwise is None else ", may be left out")


def _made_of(graph: Graph, name: str) -> str:
    output = graph.outputs[name]
    sources = ", ".join(output_takes(graph, output))
    return f"{STREAM_MARK} each {sources}" if output.each else f"from {sources or 'nothing'}"


def _pills(pills: Iterable[Figure]) -> Figure | None:
    """Side by side, in as many rows as it takes."""
    rows: list[list[Figure]] = [[]]
    for each in pills:
        if rows[-1] and sum(other.width + _GAP for other in rows[-1]) + each.width > _PILLS_WIDTH:
            rows.append([])
        rows[-1].append(each)
    return column([row(each, _GAP / 2) for each in rows], _GAP / 2) if rows[0] else None


def _drawn(part: Part) -> Figure:
    match part.kind:
        case "sequence":
            return column([_drawn(each) for each in part.parts], _ARROW, arrows=True)
        case "parallel":
            return frame([Line(part.title, "dim")], row([_drawn(each) for each in part.parts], _GAP))
        case "stream":
            return frame([Line(part.title, "dim")], _streamed(part.parts))
    if not part.parts:
        return box(_lines(part), optional=part.optional)
    if part.kind == "fallback":
        inside = column([_way(each) for each in part.parts], _ARROW, arrows=True)
    else:
        drawn = [_way(each) if each.kind == "way" else _drawn(each) for each in part.parts]
        inside = row(drawn, _GAP)
    return frame(_lines(part), inside, optional=part.optional)


def _way(way: Part) -> Figure:
    within = _drawn(way.parts[0]) if way.parts else box(wrapped(way.about, "dim"))
    return column([text(wrapped(way.title, "dim"), middle=True), within], 4)


def _lines(part: Part) -> list[Line]:
    """What stands in a box, or above what is in a frame."""
    takes = f"takes {', '.join(part.takes)}" if part.takes else ""
    facts = [*wrapped(" · ".join(part.notes), "dim"), *wrapped(takes, "dim")]
    return [Line(part.title, "name"), *wrapped(part.about, "about"), *facts]


def _streamed(stages: Sequence[Part]) -> Figure:
    """A tree for each source that is no stage itself: below everything stands what takes its items."""
    names = {stage.node for stage in stages}
    sources = [stage.each for stage in stages if stage.each not in names]
    return row([_tree(pill([Line(each, "name")], live=True), each, stages) for each in dict.fromkeys(sources)], _GAP)


def _tree(top: Figure, source: str, stages: Sequence[Part]) -> Figure:
    below = [_tree(_drawn(stage), stage.node, stages) for stage in stages if stage.each == source]
    if not below:
        return top
    under = row(below, _GAP)
    width = max(top.width, under.width)
    shapes = [top.at((width - top.width) / 2, 0), under.at((width - under.width) / 2, top.height + 1.4 * _ARROW)]
    left = (width - under.width) / 2
    for each in below:
        middle = left + each.width / 2
        shapes.append(curve(width / 2, top.height, middle, top.height + 1.4 * _ARROW))
        left += each.width + _GAP
    return Figure(width, top.height + 1.4 * _ARROW + under.height, "\n".join(shapes))
