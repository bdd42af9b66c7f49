"""Graphs as they are read and compiled: what is wrong with one is said at the start, with its file and its node."""

import re
from pathlib import Path

import pytest

from maas.router.v1 import router_pb2 as pb
from services.router import app as router_app
from services.router.compiler import compile_graph, load
from services.router.pipelines.graph import MAX_DEPTH, MAX_NODES, GraphError, parse
from services.router.values import kind_of_type

SHIPPED = Path(router_app.__file__).parent / "graphs"
HEAR = "{node: hear, call: maas.speech.v1.SpeechService/Recognize, request: {audio: {content: inputs.recording}}}"
JUDGE = "{node: judge, call: maas.nlp.v1.NlpService/AnalyzeSentiment, request: {contents: '[hear.transcript]'}}"
GRAPH = f"""
name: example
summary: An example.
inputs:
  recording: {{kind: data, summary: A recording.}}
run:
  sequence:
    - {HEAR}
    - {JUDGE}
outputs:
  score: {{value: 'judge.results[0].score', summary: Its score.}}
"""


def compiled(text):
    return compile_graph(parse(text, source="example.yaml"), source="example.yaml")


def changed(old, new):
    assert old in GRAPH
    return GRAPH.replace(old, new)


def test_the_shipped_graphs_compile():
    """Every graph of the folder beside the code can run."""
    assert sorted(load(SHIPPED)) == ["hear-and-judge", "look-twice", "speak-across-languages"]


def test_the_example_compiles():
    """What the failures below change is right to begin with."""
    assert compiled(GRAPH).outputs["score"].type == "DOUBLE"


FAULTS = {
    "unknown service": (
        ("maas.nlp.v1.NlpService/", "maas.nlp.v1.Poet/"),
        "node 'judge', call: no service .*Poet.*NlpService",
    ),
    "unknown method": (("/AnalyzeSentiment", "/Praise"), "node 'judge', call: .* no method 'Praise'; it has: AnalyzeS"),
    "the router itself": (
        ("maas.nlp.v1.NlpService/AnalyzeSentiment", "maas.router.v1.RouterService/RunGraph"),
        "node 'judge', call: no service",
    ),
    "unknown request field": (("{contents:", "{texts:"), "node 'judge', request.texts: .*no such field.*contents"),
    "unknown nested field": (("{content:", "{bytes:"), "node 'hear', request.audio.bytes: .*no such field.*content"),
    "unknown answer field": (
        ("[hear.transcript]", "[hear.text]"),
        "node 'judge', request.contents: undefined field 'text'",
    ),
    "type that does not fit": (
        ("'[hear.transcript]'", "hear.transcript"),
        r"node 'judge', request.contents: expected type of field 'contents' is 'list\(string\)'",
    ),
    "number for a text": (("'[hear.transcript]'", "7"), "node 'judge', request.contents: expected type .* 'int'"),
    "fields for a scalar": (
        ("'[hear.transcript]'", "{a: b}"),
        "node 'judge', request.contents: takes a CEL expression",
    ),
    "list of YAML": (
        ("'[hear.transcript]'", "[hear.transcript]"),
        "request.contents: takes a CEL expression: a YAML string",
    ),
    "not CEL": (("[hear.transcript]", "[hear."), "node 'judge', request.contents: Syntax error"),
    "out of its field": (
        ("'[hear.transcript]'", "'[hear.transcript]), model: (\"x\"'"),
        "node 'judge', request.contents: Syntax error",
    ),
    "unknown node": (
        ("[hear.transcript]", "[listen.transcript]"),
        "node 'judge', .*no node 'listen'; there are: hear, judge",
    ),
    "itself": (("[hear.transcript]", "[judge.model]"), "node 'judge' has not ended before 'judge' begins"),
    "sibling in parallel": (
        ("sequence:", "parallel:"),
        "node 'judge', .*node 'hear' has not ended before 'judge' begins",
    ),
    "unknown input": (
        ("content: inputs.recording", "content: inputs.sound"),
        "node 'hear', .*no input 'sound'; .*recording",
    ),
    "unused input": (("inputs:\n", "inputs:\n  mood: {kind: text, summary: A mood.}\n"), "input 'mood': is never used"),
    "unknown node in an output": (("judge.results[0]", "weigh.results[0]"), "output 'score': there is no node 'weigh'"),
    "output without a kind": (("judge.results[0].score", '{"a": 1}'), "output 'score': is of type MAP<STRING, INT>"),
    "output of any type": (("judge.results[0].score", "dyn(judge.results)"), "output 'score': is of type DYN"),
    "node twice": (("node: judge", "node: hear"), "node 'hear': is there twice"),
    "reserved name": (("node: judge", "node: inputs"), "node 'inputs', node: .*reserved word"),
    "bad name": (("node: judge", "node: Judge-1"), "node 'Judge-1', node: "),
    "no call": (("call: maas.nlp", "calls: maas.nlp"), "node 'judge', call: Field required"),
    "unknown field of a node": (("{node: judge,", "{node: judge, often: 3,"), "node 'judge', often: Extra inputs"),
    "unknown kind of block": (("sequence:", "serial:"), "run: a block has exactly one of: node, sequence, parallel"),
    "two kinds of block": (("  sequence:", "  parallel: []\n  sequence:"), "run: a block has exactly one of"),
    "unknown kind of input": (("kind: data", "kind: sound"), "inputs.recording.kind: "),
    "default of another kind": (("kind: data,", "kind: flag, default: 1,"), "inputs.recording: .*not a flag"),
    "key twice": (
        ("summary: An example.", "summary: An example.\nsummary: Another."),
        "not YAML: 'summary' stands there twice",
    ),
    "not YAML": (("run:", "run: ["), "example.yaml: is not YAML"),
    "nothing given": (
        ("outputs:\n  score: {value: 'judge.results[0].score', summary: Its score.}", "outputs: {}"),
        "outputs: ",
    ),
}


@pytest.mark.parametrize(("change", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(change, problem):
    """Each error tells the file, the node or place in it, and what is wrong."""
    with pytest.raises(GraphError) as caught:
        compiled(changed(*change))
    assert str(caught.value).startswith("example.yaml: ")
    assert re.search(problem, str(caught.value)), str(caught.value)


def test_a_nested_place_is_named_without_the_words_of_pydantic():
    """A fault deep inside blocks is told with its node and field alone."""
    nested = changed(f"    - {JUDGE}", f"    - parallel: [{{sequence: [{JUDGE.replace('call:', 'cull:')}]}}]")
    with pytest.raises(GraphError, match=r"^example.yaml: node 'judge', call: Field required$"):
        compiled(nested)


def test_size_is_bounded():
    """Too many nodes, too deep blocks and too large files are refused."""
    many = ", ".join(HEAR.replace("hear", f"hear_{number}") for number in range(MAX_NODES + 1))
    with pytest.raises(GraphError, match=f"has {MAX_NODES + 1} nodes"):
        parse(changed(f"    - {HEAR}", f"    - parallel: [{many}]").replace(f"    - {JUDGE}", ""), source="x")
    deep = "{sequence: [" * MAX_DEPTH + JUDGE + "]}" * MAX_DEPTH
    with pytest.raises(GraphError, match="nests more than"):
        parse(changed(JUDGE, deep), source="x")
    with pytest.raises(GraphError, match="nested too deeply"):
        parse("[" * 600, source="x")
    with pytest.raises(GraphError, match="larger than 64 KiB"):
        parse(GRAPH + "#" * 65536, source="x")


def test_nodes_before_a_nested_block_are_visible_in_it_and_all_of_it_after_it():
    """In sequence after parallel blocks, the answers of all their nodes may be used."""
    both = f"parallel: [{{sequence: [{HEAR}]}}, {HEAR.replace('hear', 'again')}]"
    text = changed(f"    - {HEAR}", f"    - {both}").replace(
        "[hear.transcript]", "[hear.transcript + again.transcript]"
    )
    order = compiled(text).graph.nodes()
    assert [(node.node, before) for node, before in order] == [
        ("hear", ()),
        ("again", ()),
        ("judge", ("hear", "again")),
    ]


def test_a_graph_is_named_as_its_file(tmp_path):
    """A file of another name is refused, so that a name is there once."""
    (tmp_path / "other.yaml").write_text(GRAPH)
    with pytest.raises(GraphError, match=r"other.yaml: name: the graph is called 'example'"):
        load(tmp_path)


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    """The setting to change is named."""
    with pytest.raises(GraphError, match="ROUTER_GRAPHS_DIRECTORY"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("hear.transcript", pb.VALUE_KIND_TEXT),
        ("inputs.recording", pb.VALUE_KIND_DATA),
        ("hear.segments.size()", pb.VALUE_KIND_NUMBER),
        ("hear.language_confidence", pb.VALUE_KIND_NUMBER),
        ("judge.results[0].truncated", pb.VALUE_KIND_FLAG),
        ("judge.results[0].sentiment", pb.VALUE_KIND_NUMBER),
        ("hear.segments.map(segment, segment.words)", pb.VALUE_KIND_LIST),
        ("judge.results[0]", pb.VALUE_KIND_MESSAGE),
        ("hear.duration", pb.VALUE_KIND_MESSAGE),
    ],
)
def test_kinds_of_outputs_follow_from_their_types(expression, kind):
    """ListCapabilities knows an output's kind without a run."""
    graph = compiled(changed("judge.results[0].score", expression))
    assert kind_of_type(graph.outputs["score"].type) == kind
