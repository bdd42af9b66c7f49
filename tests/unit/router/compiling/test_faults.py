"""Graphs that cannot run: each fault is told with its file, its line, its node and what to do."""

# ruff: noqa: E501 - one fault a line

import re

import pytest

from services.router.compiling import compile_graph, load, read
from services.router.pipelines.graph import MAX_DEPTH, MAX_NODES, GraphError
from tests.unit.router.compiling.example import EXAMPLE, REPLY, SENTIMENT, around, call, compiled, spoilt


def refused(text):
    """What is wrong with a graph, as people see it."""
    with pytest.raises(GraphError) as caught:
        compiled(text)
    return str(caught.value)


FAULTS = {
    "unknown service": (("maas.nlp.v1.NlpService/", "maas.nlp.v1.Poet/"), r":12: node 'judge', call: no service .*Poet.*NlpService"),
    "unknown method": (("/AnalyzeSentiment", "/Praise"), r":12: node 'judge', call: .* no method 'Praise'; it has: AnalyzeS"),
    "the router itself": (
        ("maas.nlp.v1.NlpService/AnalyzeSentiment", "maas.router.v1.RouterService/RunGraph"), r":12: node 'judge', call: no service",
    ),
    "a stream": (("/AnalyzeSentiment", "/StreamGenerateReply"), r":12: node 'judge', call: .* is a stream; put the node right inside a stream block\n.*:17: outputs"),
    "unknown request field": (("contents:", "texts:"), r":14: node 'judge', request.texts: .*no such field.*contents"),
    "unknown nested field": (("{content:", "{bytes:"), r":10: node 'hear', request.audio.bytes: .*no such field.*content"),
    "unknown answer field": (("[hear.transcript]", "[hear.text]"), r":14: node 'judge', request.contents: undefined field 'text'"),
    "type that does not fit": (
        ('"[hear.transcript]"', "hear.transcript"), r":14: node 'judge', request.contents: expected type of field 'contents' is 'list\(string\)'",
    ),
    "bytes for a text": (("[hear.transcript]", "[inputs.recording]"), r":14: node 'judge', request.contents: expected type .*"),
    "number for a text": (('"[hear.transcript]"', "7"), r":14: node 'judge', request.contents: expected type .* 'int'"),
    "no finite number": (('"[hear.transcript]"', ".nan"), r":14: node 'judge', request.contents: takes a number that is finite"),
    "fields for a scalar": (('"[hear.transcript]"', "{a: b}"), r":14: node 'judge', request.contents: takes a CEL expression"),
    "list of YAML": (('"[hear.transcript]"', "[hear.transcript]"), r":14: node 'judge', request.contents: takes a CEL expression: a YAML string"),
    "nothing": (('"[hear.transcript]"', ""), r":14: node 'judge', request.contents: takes a CEL expression: a YAML string"),
    "not CEL": (("[hear.transcript]", "[hear."), r":14: node 'judge', request.contents: Syntax error"),
    "out of its field": (('"[hear.transcript]"', "'[hear.transcript]), model: (\"x\"'"), r":14: node 'judge', request.contents: Syntax error"),
    "unknown node": (("[hear.transcript]", "[listen.transcript]"), r":14: node 'judge', .*no node 'listen'; there are: hear, judge"),
    "itself": (("[hear.transcript]", "[judge.model]"), r":14: node 'judge', request.contents: a cycle: judge -> judge"),
    "a sibling in parallel": (("sequence:", "parallel:"), r":14: node 'judge', .*node 'hear' has not ended before 'judge' begins"),
    "a failure that cannot be": (("[hear.transcript]", "failed.hear ? [] : [hear.transcript]"), r":14: node 'judge', .*only optional nodes.*'hear' is none"),
    "unknown input": (("inputs.recording", "inputs.sound"), r":10: node 'hear', .*no input 'sound'; .*recording"),
    "unused input": (("inputs:\n", "inputs:\n  mood: {kind: text, summary: A mood.}\n"), r":4: inputs.mood: is never used"),
    "unused stream": (("kind: data,", "kind: data, stream: true,"), r":10: node 'hear', .*inputs.recording is a stream; .*each: inputs.recording"),
    "unknown node in an output": (("judge.results[0].score", "weigh.results[0]"), r":17: outputs.score.value: there is no node 'weigh'"),
    "output without a kind": (("judge.results[0].score", "'{1: judge.model}'"), r":17: outputs.score.value: is of type MAP<INT, STRING>; an output is a text, bytes"),
    "output of any type": (("judge.results[0].score", "dyn(judge.results)"), r":17: outputs.score.value: is of type DYN"),
    "output of no stream": (("    value: judge", "    each: judge\n    value: judge"), r":17: outputs.score.each: 'judge' is no stream; there are: none"),
    "a node twice": (("node: judge", "node: hear"), r":11: node 'hear': is there twice"),
    "an unreachable node": (("    - node: judge", f"    - {call('idle', 'hear.transcript')}\n    - node: judge"), r":11: node 'idle': is unreachable: no output needs its value"),
    "requests without a stream": (("      request:\n        cont", "      send: [{request: {}}]\n      request:\n        cont"), r":13: node 'judge', send: is for calls with a stream of requests"),
    "each outside a stream": (("node: judge", "node: judge\n      each: hear"), r":12: node 'judge', each: stands inside a stream only"),
    "items without a list": (("node: judge", "node: judge\n      at_once: 2"), r":12: node 'judge', at_once: is for what is done with each item"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(change, problem):
    """Each error tells the file, the line, the node or place in it, and what is wrong."""
    told = refused(spoilt(change))
    assert re.fullmatch(f"example.yaml{problem}.*", told, re.DOTALL), told


VISION = "maas.vision.v1.VisionService"
BLOCKS = {
    "collect outside a stream": (
        "{node: all, collect: true, value: inputs.text, most: 3}", "all", r":9: node 'all', collect: stands inside a stream only",
    ),
    "a stream inside a node": (
        "node: out\nswitch:\n  - when: 'true'\n    gives: '1'\n    run: {stream: [{node: a, collect: true, value: '1', most: 1, each: b}]}",
        "out", r":13: node 'a': is in a stream, which stands at the top, or in a sequence at the top",
    ),
    "a stream in parallel": (
        "parallel:\n  - stream: [{node: a, collect: true, value: '1', most: 1, each: inputs.sound}]", "inputs.text",
        r":10: node 'a': is in a stream, which stands at the top, or in a sequence at the top",
    ),
    "a condition that is none": (
        "node: out\nswitch:\n  - when: inputs.text\n    gives: '1'", "out", r":11: node 'out', switch\[0\].when: is of type STRING; it must be BOOL",
    ),
    "a condition of any type": (
        "node: out\nswitch:\n  - when: dyn(true)\n    gives: '1'", "out", r":11: node 'out', switch\[0\].when: is of type DYN; it must be BOOL",
    ),
    "a case behind all": (
        "node: out\nswitch:\n  - {when: 'true', gives: '1'}\n  - {when: inputs.sure, gives: '2'}", "out",
        r":12: node 'out', switch\[1\]: is unreachable: the condition before it always holds",
    ),
    "otherwise behind all": (
        "node: out\nswitch:\n  - {when: 'true', gives: '1'}\notherwise: {gives: '2'}", "out",
        r":12: node 'out', otherwise: is unreachable: the condition before it always holds",
    ),
    "ways of two types": (
        "node: out\nswitch:\n  - {when: inputs.sure, gives: '1'}\notherwise: {gives: '1.0'}", "out",
        r":12: node 'out', otherwise.gives: is of type DOUBLE, and the ways before it give INT",
    ),
    "a list and a number": (
        "node: out\nfallback:\n  - {gives: '[inputs.text]'}\n  - {gives: '1'}", "out",
        r":12: node 'out', fallback\[1\].gives: is of type INT, and the ways before it give LIST<STRING>",
    ),
    "two messages": (
        f"node: out\nfallback:\n  - run: {call('a')}\n  - run: {{node: b, call: maas.nlp.v1.NlpService/TranslateText, request: {{contents: '[inputs.text]'}}}}",
        "out", r":12: node 'out', fallback\[1\].gives: is of type maas.nlp.v1.TranslateTextResponse, and .* give maas.nlp.v1.AnalyzeSentimentResponse",
    ),
    "a map over a text": (
        f"node: out\nmap: inputs.text\nas: word\nmost: 3\nrun: {call('a')}", "out", r":10: node 'out', map: is of type STRING; it must be a list",
    ),
    "a map over anything": (
        f"node: out\nmap: dyn([1])\nas: word\nmost: 3\nrun: {call('a')}", "out", r":10: node 'out', map: is of type DYN; it must be a list",
    ),
    "an item of another type": (
        f"node: out\nmap: '[1]'\nas: number\nmost: 3\nrun: {call('a', 'number')}", "out", r":13: node 'a', request.contents: expected type .*",
    ),
    "an item called as a node": (
        f"node: out\nmap: '[1]'\nas: a\nmost: 3\nrun: {call('a')}", "out", r":11: node 'out', as: 'a' means something already",
    ),
    "an item called as the item around it": (
        f"node: out\nmap: '[1]'\nas: one\nmost: 3\nrun:\n  node: inner\n  map: '[2]'\n  as: one\n  most: 3\n  run: {call('a')}", "out",
        r":16: node 'inner', as: 'one' means something already",
    ),
    "an item outside its map": (
        f"sequence:\n  - node: out\n    map: '[inputs.text]'\n    as: word\n    most: 3\n    run: {call('a', 'word')}\n  - {call('b', 'word')}",
        "[out[0].model, b.model]", r":15: node 'b', request.contents: there is no node 'word'",
    ),
    "a node outside its map": (
        f"sequence:\n  - node: out\n    map: '[1]'\n    as: number\n    most: 3\n    run: {call('a')}\n  - {call('b', 'a.model')}",
        "[out[0].model, b.model]", r":15: node 'b', request.contents: 'a' is inside 'out', whose own value is all that is seen outside",
    ),
    "a node of another way": (
        f"node: out\nfallback:\n  - run: {call('a')}\n  - run: {call('b', 'a.model')}", "out",
        r":12: node 'b', request.contents: node 'a' has not ended before 'b' begins",
    ),
    "a mean of texts": (
        "node: out\nensemble: [{gives: inputs.text}, {gives: inputs.other}]\ncombine: mean", "out", r":11: node 'out', combine: 'mean' takes values of .*; they are STRING",
    ),
    "a vote of messages": (
        f"node: out\nensemble: [{{run: {call('a')}}}, {{run: {call('b')}}}]\ncombine: vote", "out", r":11: node 'out', combine: 'vote' takes values of .*; they are maas",
    ),
    "a score that is a text": (
        "node: out\nensemble: [{gives: '1', score: inputs.text}, {gives: '2', score: '1'}]\ncombine: best", "out",
        r":10: node 'out', ensemble\[0\].score: is of type STRING; it must be INT or UINT or DOUBLE",
    ),
    "privacy of a truth value": (
        f"node: out\nprivacy: inputs.sure\nas: masked\nrun: {call('a', 'masked')}\ngives: a.model", "out",
        r":10: node 'out', privacy: is of type BOOL; it must be STRING",
    ),
    "privacy that gives a message": (
        f"node: out\nprivacy: inputs.text\nas: masked\nrun: {call('a', 'masked')}", "out",
        r":9: node 'out', gives: is of type maas.*; marks are replaced in a text only",
    ),
    "unknown kind of name": (
        "node: out\nprivacy: inputs.text\nas: masked\ntypes: [SECRET]\ngives: masked", "out", r":12: node 'out', types: 'SECRET' is none; there are: .*PERSON",
    ),
    "a language that is a number": (
        "node: out\nprivacy: inputs.text\nas: masked\nlanguage_code: '1'\ngives: masked", "out",
        r":12: node 'out', language_code: is of type INT; it must be STRING",
    ),
    "hedging of what changes something": (
        f"{{node: out, call: {VISION}/EnrollFace, hedge: {{after: 1s}}}}", "inputs.text", r":9: node 'out', hedge: .*EnrollFace changes something: it is called once",
    ),
    "answers kept of what changes something": (
        f"{{node: out, call: {VISION}/DeleteFace, cache: {{ttl: 1s}}}}", "inputs.text", r":9: node 'out', cache: .*DeleteFace changes something: it is called once",
    ),
    "too many calls": (
        f"node: out\nmap: '[1]'\nas: one\nmost: 100\nrun:\n  node: inner\n  map: '[2]'\n  as: two\n  most: 20\n  run: {call('a', more=', hedge: {after: 1s}')}",
        "out", r":12: node 'out', most: the graph may make 12000 calls, retries included; at most 10000 are allowed",
    ),
    "a stream of answers inside a map": (
        f"node: out\nmap: '[inputs.text]'\nas: one\nmost: 3\nrun: {{node: a, {REPLY}}}", "out", r":13: node 'a', call: .* is a stream; put the node right inside a stream block",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("run", "value", "problem"), BLOCKS.values(), ids=BLOCKS)
def test_a_fault_of_a_block_is_named(run, value, problem):
    """Scopes, types and limits of each kind of block are checked."""
    told = refused(around(run, value))
    assert re.fullmatch(f"(example.yaml)?{problem}.*", told, re.DOTALL), told


def test_all_problems_are_told():
    """The first of each node and of each place outside of nodes, by line."""
    text = spoilt(
        ("{content: inputs.recording}", "{bytes: inputs.recording, content: inputs.sound}"),
        ("/AnalyzeSentiment", "/Praise"),
        ("judge.results[0].score", "nobody"),
    )
    told = [line.split(": ")[:2] for line in refused(text).splitlines()]
    assert told == [
        ["example.yaml:10", "node 'hear', request.audio.bytes"],
        ["example.yaml:12", "node 'judge', call"],
        ["example.yaml:17", "outputs.score.value"],
    ]


def test_what_uses_something_wrong_is_not_wrong_as_well():
    """An unknown method is one problem, although what it answers is not known."""
    text = around(
        f"""
sequence:
  - {{node: ask, call: maas.nlp.v1.NlpService/Ask}}
  - node: out
    switch: [{{when: ask.sure, gives: ask.text}}]
    otherwise: {{gives: '""'}}
  - node: each
    map: ask.words
    as: word
    most: 3
    run: {call("a", "word")}
""",
        "out + each[0].model",
    )
    assert len(refused(text).splitlines()) == 1


def test_size_is_bounded():
    """Too many nodes and too deep blocks are refused."""
    many = "parallel:\n" + "\n".join(f"  - {call(f'n{number}')}" for number in range(MAX_NODES + 1))
    assert f"has {MAX_NODES + 1} nodes; at most {MAX_NODES} are allowed" in refused(around(many, "n0"))
    deep = "{sequence: [" * MAX_DEPTH + call("a") + "]}" * MAX_DEPTH
    compiled(around(deep, "a.model"))
    assert f"nests more than {MAX_DEPTH} blocks" in refused(around("{sequence: [" + deep + "]}", "a.model"))


def test_graphs_that_came_otherwise_have_no_lines():
    """A graph without a file has its nodes and places named."""
    with pytest.raises(GraphError, match=r"^node 'judge', request.contents: undefined field 'text'"):
        compile_graph(read(spoilt(("[hear.transcript]", "[hear.text]"))).graph)


def test_a_graph_is_named_as_its_file(tmp_path):
    """A file of another name is refused, so that a name is there once."""
    (tmp_path / "other.yaml").write_text(EXAMPLE)
    with pytest.raises(GraphError, match=r"other.yaml: name: the graph is called 'example'"):
        load(tmp_path)


def test_a_graph_of_a_folder_that_is_wrong_is_told_with_its_line(tmp_path):
    """The router's start says where to look."""
    (tmp_path / "example.yaml").write_text(spoilt((SENTIMENT, "call: x")))
    with pytest.raises(GraphError, match=r"^example.yaml:12: node 'judge', call: no service"):
        load(tmp_path)


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    """The setting to change is named."""
    with pytest.raises(GraphError, match="ROUTER_GRAPHS_DIRECTORY"):
        load(tmp_path / "nowhere")
