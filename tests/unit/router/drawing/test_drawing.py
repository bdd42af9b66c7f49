"""Pictures of graphs."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from services.router.drawing import mermaid, svg
from services.router.drawing.outline import outline, taken
from services.router.drawing.terminal import tree
from services.router.pipelines.graph import Graph, nodes
from tests.unit.router.drawing.graphs import NESTED, SOUND, TEXT, call, graph

# What means something to Mermaid, XML, Markdown or a terminal.
STRANGE = [
    '"]--> x; end',
    "%%{init: {}}%% %% x",
    "<script>x</script> &quot; <b>",
    "#quot; #35; ; `a` $$b$$ *c* _d_ __e__",
    "1. one",
    "- one",
    "]]> --> <!-- </svg>",
    "\x1b[31m \u202e \x00 \x9b \u2066",
    "a\nsubgraph y\r\nend",
    "fünf 五 😀",
]
SVG = "{http://www.w3.org/2000/svg}"


def printed(drawn: Graph) -> str:
    """The tree as a terminal without colours has it."""
    console = Console(file=io.StringIO(), width=4000)
    console.print(tree(drawn))
    return console.file.getvalue()


def picture(drawn: Graph) -> ET.Element:
    """The SVG."""
    return ET.fromstring(svg(drawn))  # noqa: S314 - we wrote it


def texts(drawn: Graph) -> list[str]:
    """The texts of the SVG."""
    return [each.text or "" for each in picture(drawn).iter(f"{SVG}text")]


def arrows(drawn: Graph) -> set[str]:
    """The arrows of the flowchart, without what is written on them."""
    return {
        re.sub(r"\|.*\|", "", line.strip()) for line in mermaid(drawn).splitlines() if re.search(r"-->|==>|-\.->", line)
    }


def test_every_node_is_drawn_once():
    """Each node of a graph is once in every picture, however deep it is nested."""
    for node in nodes(NESTED):
        assert mermaid(NESTED).count(f"<b>{node.node}</b>") == 1
        assert texts(NESTED).count(node.node) == 1
        assert len(re.findall(rf"─ {node.node}  ", printed(NESTED))) == 1


def test_arrows_lead_from_a_value_to_what_is_made_of_it():
    """A thin arrow is a value, a thick one a stream; ways lead into their node, and nodes into the outputs."""
    assert {
        "in_sound ==> node_hear",
        "node_hear ==> node_said",
        "node_hear ==> node_word",
        "node_feel --> node_word",
        "in_text --> node_safe",
        "node_said --> node_turns",
        "node_one --> node_fast",
        "node_fast --> node_answered",
        "node_answered --> node_turns",
        "node_turns --> node_safe",
        "node_left --> node_agreed",
        "node_agreed --> out_result",
        "node_safe --> out_result",
    } <= arrows(NESTED)


def test_order_is_drawn_where_no_value_tells_it():
    """Parts of a sequence that take nothing of each other are joined by a dotted arrow, others are not."""
    drawn = graph({"sequence": [call("first"), call("second"), call("third", "second.results")]})
    assert arrows(drawn) == {"node_first -.-> node_second", "node_second --> node_third"}


def test_no_arrow_leads_to_a_frame():
    """Arrows begin and end at boxes: Mermaid fails at some that lead to nested frames."""
    frames = set(re.findall(r"subgraph (\w+)", mermaid(NESTED)))
    ends = {end for arrow in arrows(NESTED) for end in re.split(r" *(?:-->|==>|-\.->) *", arrow)}
    assert frames
    assert not frames & ends


@pytest.mark.parametrize("strange", STRANGE)
def test_no_text_leaves_its_place(strange: str):
    """Whatever an expression holds: the flowchart keeps its lines, the SVG its shapes, and no terminal is commanded."""

    def drawn(text: str) -> Graph:
        ways = [{"when": text, "gives": text}, {"when": text, "run": call("deep", text)}]
        made = graph({"node": "way", "switch": ways}, value=text)
        return made.model_copy(update={"summary": text})

    def lines(text: str) -> list[str]:
        return [re.sub(r'"[^"]*"', '""', line) for line in mermaid(drawn(text)).splitlines() if "accDescr" not in line]

    def shapes(text: str) -> list[str]:
        return [each.tag for each in picture(drawn(text)).iter() if each.tag not in (f"{SVG}text", f"{SVG}g")]

    assert lines(strange) == lines("plain")
    labels = re.findall(r'"([^"]*)"', mermaid(drawn(strange)))
    assert all(re.fullmatch(r"(<b>|</b>|<br/>|#\d+;|[\w .,/=()?:'…≋-])+", label) for label in labels)
    assert shapes(strange) == shapes("plain")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", printed(drawn(strange)))


def test_letters_are_kept():
    """What means something elsewhere is shown as it is written."""
    drawn = graph({"node": "way", "switch": [{"when": "x", "gives": "'<b>' + \"&#35;\""}]})
    assert "gives '<b>' + \"&#35;\"" in texts(drawn)
    assert "gives '<b>' + \"&#35;\"" in printed(drawn)
    assert "gives '#60;b#62;' #43; #34;#38;#35;35#59;#34;" in mermaid(drawn)


def test_what_a_node_takes_is_what_its_expressions_name():
    """Names inside texts, fields of messages and fields of values are no nodes; what is inside a node is its own."""
    known = {"hear", "text", "inputs.text", "inputs.sound"}
    assert taken(known, 'hear.text + "inputs.sound"', None) == ("hear",)
    assert taken(known, {"a": "[maas.Thing{text: inputs.text, hear: 1}]", "b": ["x ? hear : text"]}) == (
        *("inputs.text", "hear", "text"),
    )
    assert taken(known, r"""r"hear\" + "in \" hear" + inputs.sounds + hearing + b'text' """) == ()
    parts = {part.node: part for part in outline(NESTED).all() if part.node}
    assert parts["turns"].takes == ("said",)
    assert parts["answered"].takes == ()
    assert (parts["word"].each, parts["word"].takes) == ("hear", ("inputs.text",))


def test_what_is_unusual_is_told():
    """Policies, limits and failures that are allowed stand beside a node's method in the terminal."""
    node = call("a", optional=True, timeout="2s", share=0.5, cache={"ttl": "60s"}, retry={"attempts": 1})
    line = next(line for line in printed(graph(node)).splitlines() if "AnalyzeEntities" in line)
    assert line.split("AnalyzeEntities")[1].split("  ") == [
        *("", "may fail", "2 s at most", "50% of the time", "one attempt", "kept for 60 s"),
    ]


def test_boxes_do_not_overlap():
    """Side by side or one below the other: no two boxes of the picture share a place."""
    boxes = [box for box in _boxes(picture(NESTED), 0, 0) if box[0] in ("box", "box optional")]
    assert len(boxes) > len(nodes(NESTED)) / 2
    for index, (_, left, top, right, bottom) in enumerate(boxes):
        for _, other_left, other_top, other_right, other_bottom in boxes[index + 1 :]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top


def _boxes(element: ET.Element, left: float, top: float) -> list[tuple[str, float, float, float, float]]:
    found = []
    for each in element:
        moved = re.findall(r"[-\d.e]+", each.get("transform", "").removeprefix("translate")) or ("0", "0")
        x, y = left + float(moved[0]), top + float(moved[1])
        if each.tag == f"{SVG}rect":
            found.append(
                (each.get("class", ""), x, y, x + float(each.get("width", 0)), y + float(each.get("height", 0)))
            )
        found += _boxes(each, x, y)
    return found


def test_a_stream_is_drawn_below_its_source():
    """In the picture an arrow leads from each source to each stage that takes its items; sources are drawn once."""
    drawn = graph(
        {"stream": [call("a", each="inputs.sound"), call("b", each="inputs.sound"), call("c", each="a")]}, sound=SOUND
    )
    assert svg(drawn).count('<path class="arrow live"') == 3
    assert texts(drawn).count("inputs.sound") == 1


def test_inputs_and_outputs_are_drawn():
    """Every input tells its kind and whether it streams, every output what it is made of."""
    drawn = graph(call("a", "[inputs.text]"), value="a.results", text={**TEXT, "default": ""}, sound=SOUND)
    assert "text, may be left out" in texts(drawn)
    assert "≋ data" in texts(drawn)
    assert "from a" in texts(drawn)
    assert '(["text: text, may be left out"])' in mermaid(drawn)
    assert "node_a --> out_result" in mermaid(drawn)
