"""Graphs as texts: what cannot be read is told with its file, its line and its node."""

# ruff: noqa: E501 - one fault a line

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.compiling import read
from services.router.pipelines.graph import GraphError
from tests.unit.router.compiling.example import EXAMPLE, spoilt

FAULTS = {
    "not YAML": (("run:", "run: ["), r":7: cannot be read: "),
    "two documents": (("inputs:", "---\ninputs:"), r":3: cannot be read: "),
    "a key twice": (("inputs:", "summary: Another.\ninputs:"), r":3: cannot be read: 'summary' stands there twice"),
    "a key that is a list": (("inputs:", "[a]: 1\ninputs:"), r":3: cannot be read: a key is no plain word"),
    "a tag of Python": (("An example.", "!!python/name:os.system x"), r":2: cannot be read: "),
    "a number that is none": (("An example.", "!!int x"), r": cannot be read: "),
    "an alias": (("An example.", "&a An example.\nname: *a"), r":3: cannot be read: an alias, \*a; write it out"),
    "unknown field of a graph": (("run:", "ran: 1\nrun:"), r":5: ran: Extra inputs"),
    "bad name of a graph": (("name: example", "name: Example 1"), r":1: name: "),
    "bad name of a node": (("node: judge", "node: Judge-1"), r":11: node 'Judge-1', node: "),
    "reserved name": (("node: judge", "node: inputs"), r":11: node 'inputs', node: 'inputs' is a reserved word"),
    "no name": (("node: hear", "retry: {attempts: 1}"), r":7: run.sequence\[0\].node: Field required"),
    "unknown field of a node": (("  request:\n        cont", "  often: 3\n      request:\n        cont"), r":13: node 'judge', often: "),
    "unknown kind of block": (("sequence:", "serial:"), r":5: run: a block has exactly one of: call, sequence"),
    "two kinds of block": (("call: maas.nlp", "map: '[1]'\n      call: maas.nlp"), r":11: node 'judge': a block has exactly one"),
    "unknown kind of input": (("kind: data", "kind: sound"), r":4: inputs.recording.kind: "),
    "default of another kind": (("kind: data,", "kind: flag, default: 1,"), r":4: inputs.recording: the default is not a flag"),
    "default of a stream": (("kind: data,", "kind: data, stream: true, default: '',"), r":4: inputs.recording: a stream has no"),
    "nothing given": (("  score:\n    value: judge.results[0].score\n    summary: Its score.", "  {}"), r":15: outputs: "),
    "too short a time": (("request:\n        cont", "timeout: 0s\n      request:\n        cont"), r":13: node 'judge', timeout: "),
    "a time without a unit": (("request:\n        cont", "timeout: 3\n      request:\n        cont"), r":13: .*must be seconds, for example \"0.2s\""),
    "too many attempts": (("request:\n        cont", "retry: {attempts: 6}\n      request:\n        cont"), r":13: node 'judge', retry.attempts: "),
    "unknown code": (("request:\n        cont", "retry: {codes: [LATE]}\n      request:\n        cont"), r":13: node 'judge', retry.codes\[0\]: "),
    "a condition without items": (("request:\n        cont", "when: 'true'\n      request:\n        cont"), r":11: node 'judge': when: goes with each; a choice is a switch"),
    "a quorum that cannot be reached": (("sequence:", "quorum: 3\n  parallel:"), r":5: run: quorum: there are 2 blocks"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(change, problem):
    """Each error tells the file, the line, the node or place in it, and what is wrong."""
    with pytest.raises(GraphError) as caught:
        read(spoilt(change), source="example.yaml")
    assert re.match("example.yaml" + problem, str(caught.value)), str(caught.value)


def test_a_nested_place_is_named_without_the_words_of_pydantic():
    """A fault deep inside blocks is told with its node and field alone."""
    text = """\
run:
  sequence:
    - parallel:
        - node: each
          map: "[1]"
          as: number
          most: 3
          run:
            sequence:
              - node: choose
                switch:
                  - when: "true"
                    run: {node: judge, call: x, request: {}, cache: {ttl: 0.5s}}
"""
    with pytest.raises(GraphError) as caught:
        read(text, source="x.yaml")
    assert "x.yaml:13: node 'judge', cache.ttl: Input should be greater than or equal to 1" in str(caught.value)


def test_names_of_fields_are_no_kinds_of_blocks():
    """A field that is called as a block is stays in its place."""
    with pytest.raises(GraphError, match=r":4: inputs.call.kind: "):
        read(spoilt(("recording: {kind: data", "call: {kind: sound")), source="x")


def test_the_first_fault_of_each_node_is_told():
    """Faults of several nodes come together, and of one node once."""
    with pytest.raises(GraphError) as caught:
        read(
            spoilt(("node: hear", "node: hear\n      often: 1\n      seldom: 2"), ("node: judge", "node: Judge")),
            source="x",
        )
    assert [(problem.node, problem.path, problem.line) for problem in caught.value.problems] == [
        ("hear", "often", 8),
        ("Judge", "node", 13),
    ]


def test_what_is_told_is_bounded():
    """A text with a thousand faults has twenty of them in its error."""
    with pytest.raises(GraphError) as caught:
        read(EXAMPLE + "".join(f"f{number}: 1\n" for number in range(1000)), source="x")
    assert len(caught.value.problems) == 20


def test_a_place_has_the_line_of_the_nearest_around_it():
    """What is not in the text has the line of what it would be in."""
    source = read(EXAMPLE)
    assert source.line("judge", "request.contents") == 14
    assert source.line("judge", "request.model") == 13
    assert source.line("judge", "retry.codes[0]") == 11
    assert source.line("", "outputs.score.when") == 16
    assert source.line("", "inputs.recording") == 4
    assert source.line("nobody", "") == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (EXAMPLE + "#" * 65536, "larger than 64 KiB"),
        ("[" * 20000 + "]" * 20000, "nested more than 64 deep"),
        ("- " * 20000, "nested more than 64 deep"),
        ("", "should be a valid dictionary"),
        ("3", "should be a valid dictionary"),
        ("\0", "cannot be read"),
        ("run: &a [*a]", "alias"),
    ],
)
def test_strange_texts_are_refused(text, says):
    """Large, deep, empty and endless texts are errors as others are."""
    with pytest.raises(GraphError, match=says):
        read(text, source="x")


def test_aliases_of_aliases_cost_nothing():
    """A text that would be 10^9 words long is refused before it is."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    with pytest.raises(GraphError, match=r"x:2: cannot be read: an alias, \*a0; write it out"):
        read("\n".join(lines), source="x")


@settings(deadline=None)
@given(st.text() | st.text("-: {}[]&*!|>'\"\n ab#,?%@`").map(lambda text: EXAMPLE.replace("[hear.transcript]", text)))
def test_every_text_is_a_graph_or_an_error_of_graphs(text):
    """Whatever is in a text, nothing else is raised."""
    try:
        read(text, source="x")
    except GraphError as error:
        assert error.problems  # noqa: PT017 - it may as well be read
