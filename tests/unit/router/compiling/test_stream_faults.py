"""Streams that cannot run: each fault is told with its file, its line, its node and what to do."""

# ruff: noqa: E501, ISC004 - one fault a line

import re

import pytest

from services.router.compiling import read
from services.router.pipelines.graph import GraphError
from tests.unit.router.compiling.example import HEAR, REPLY, SENTIMENT, around, call, compiled

# Line 10 and 11.
TAKE = (
    f"stream:\n  - {{node: hear, each: inputs.sound, {HEAR}, send: [{{request: {{audio_content: inputs.sound}}}}]}}\n"
)
WORDS = "'[hear.result.transcript]'"
JUDGE = f"  - {{node: judge, each: hear, {SENTIMENT}, request: {{contents: {WORDS}}}}}\n"


def test_what_is_spoilt_below_is_right():
    """The stream that the failures change compiles."""
    compiled(around(TAKE + JUDGE, "judge.results[0].score", "judge"))


def stage(node, each, more):
    return f"  - {{node: {node}, each: {each}, {more}}}\n"


FAULTS = {
    "no source": (
        f"stream:\n  - {{node: a, {SENTIMENT}}}", ("1", "a"), r":10: node 'a', each: is required inside a stream: whose items does it take\?",
    ),
    "an unknown source": (
        TAKE + stage("a", "listen", SENTIMENT), ("1", "a"), r":11: node 'a', each: 'listen' is no stream; there are: inputs.sound, hear",
    ),
    "a source that collects": (
        TAKE + stage("all", "hear", "collect: true, value: hear.result.transcript, most: 9") + stage("a", "all", SENTIMENT), ("1", "a"),
        r":12: node 'a', each: 'all' collects; its list is there after the stream",
    ),
    "a source that is no stream": (
        TAKE + stage("a", "inputs.text", SENTIMENT), ("1", "a"), r":11: node 'a', each: 'inputs.text' is no stream; there are: inputs.sound, hear",
    ),
    "itself": (TAKE + stage("a", "a", SENTIMENT), ("1", "a"), r":11: node 'a', each: a cycle: a -> a"),
    "a cycle of sources": (
        TAKE + stage("a", "c", SENTIMENT) + stage("b", "a", SENTIMENT) + stage("c", "b", SENTIMENT), ("1", "c"),
        r":11: node 'a', each: a cycle: a -> c -> b -> a",
    ),
    "what takes from a cycle": (
        TAKE + stage("d", "a", SENTIMENT) + stage("a", "b", SENTIMENT) + stage("b", "a", SENTIMENT), ("1", "d"),
        r":12: node 'a', each: a cycle: a -> b -> a",
    ),
    "a cycle of expressions": (
        TAKE + stage("a", "hear", f"{SENTIMENT}, request: {{contents: '[b.model]'}}")
        + stage("b", "a", f"{SENTIMENT}, request: {{contents: '[a.model]'}}"), ("b.model", "b"),
        r":11: node 'a', request.contents: a cycle: a -> b -> a",
    ),
    "what items were not made of": (
        TAKE + JUDGE + stage("b", "hear", f"{SENTIMENT}, request: {{contents: '[judge.model]'}}"), ("b.model + judge.model", "b"),
        r":12: node 'b', request.contents: 'judge' is not what the items of 'hear' were made of, which 'b' takes\n.*",
    ),
    "the sound behind a call for all of it": (
        TAKE + stage("a", "hear", f"{SENTIMENT}, request: {{contents: '[string(inputs.sound)]'}}"), ("a.model", "a"),
        r":11: node 'a', request.contents: inputs.sound is a stream; its items are seen by what takes them",
    ),
    "an item in the first request": (
        f"stream:\n  - node: hear\n    each: inputs.sound\n    {HEAR}\n    request: {{audio_content: inputs.sound}}\n"
        "    send: [{request: {audio_content: inputs.sound}}]", ("hear.result.transcript", "hear"),
        r":13: node 'hear', request.audio_content: inputs.sound is a stream",
    ),
    "nothing is sent": (
        f"stream:\n  - {{node: hear, each: inputs.sound, {HEAR}}}", ("hear.result.transcript", "hear"),
        r":10: node 'hear', send: is required: .*StreamingRecognize takes a stream of requests",
    ),
    "sent to one that takes one request": (
        TAKE + stage("a", "hear", f"{REPLY}, send: [{{request: {{}}}}]"), ("a.delta", "a"), r":11: node 'a', send: is for calls with a stream of requests",
    ),
    "sent to a unary one": (
        TAKE + stage("a", "hear", f"{SENTIMENT}, send: [{{request: {{}}}}]"), ("a.model", "a"), r":11: node 'a', send: is for calls with a stream of requests",
    ),
    "an unknown field that is sent": (
        f"stream:\n  - {{node: hear, each: inputs.sound, {HEAR}, send: [{{request: {{sound: inputs.sound}}}}]}}", ("hear.result.transcript", "hear"),
        r":10: node 'hear', send\[0\].request.sound: .* has no such field; it has: ",
    ),
    "a condition of what is sent": (
        f"stream:\n  - {{node: hear, each: inputs.sound, {HEAR}, send: [{{when: '1', request: {{audio_content: inputs.sound}}}}]}}",
        ("hear.result.transcript", "hear"), r":10: node 'hear', send\[0\].when: is of type INT; it must be BOOL",
    ),
    "a condition of items": (
        TAKE + stage("a", "hear", f"when: hear.result.transcript, {SENTIMENT}"), ("a.model", "a"), r":11: node 'a', when: is of type STRING; it must be BOOL",
    ),
    "one call at once": (
        f"stream:\n  - {{node: hear, each: inputs.sound, at_once: 2, {HEAR}, send: [{{request: {{audio_content: inputs.sound}}}}]}}",
        ("hear.result.transcript", "hear"), r":10: node 'hear', at_once: is for what is done with each item; this is one call for all",
    ),
    **{
        f"{policy.split(':')[0]} of a stream": (
            TAKE + stage("a", "hear", f"{REPLY}, {policy}"), ("a.delta", "a"),
            rf":11: node 'a', {policy.split(':')[0]}: is for unary calls; .*StreamGenerateReply is a stream",
        )
        for policy in ("retry: {attempts: 2}", "hedge: {after: 1s}", "cache: {ttl: 1s}")
    },
    "a block between": (
        TAKE + "  - sequence:\n      - " + call("a"), ("hear.result.transcript", "hear"), r":12: node 'a': is in a block of a stream, which has nodes only",
    ),
    "a stream inside a stage": (
        TAKE + stage("out", "hear", f"map: '[1]', as: one, most: 2, run: {{node: a, {REPLY}}}"), ("1", "out"),
        r":11: node 'a', call: .* is a stream; put the node right inside a stream block",
    ),
    "items inside a stage": (
        TAKE + stage("out", "hear", f"map: '[1]', as: one, most: 2, run: {{node: a, each: hear, {SENTIMENT}}}"), ("1", "out"),
        r":11: node 'a', each: stands inside a stream only",
    ),
    "an unreachable stage": (
        TAKE + JUDGE, ("hear.result.transcript", "hear"), r":11: node 'judge': is unreachable: no output needs its value",
    ),
    "a list that nobody uses": (
        TAKE + stage("all", "hear", "collect: true, value: '1', most: 9"), ("hear.result.transcript", "hear"), r":11: node 'all': is unreachable",
    ),
    "an unknown method": (
        "stream:\n  - {node: hear, each: inputs.sound, call: maas.speech.v1.SpeechService/Hear}\n" + JUDGE, ("judge.model", "judge"),
        r":10: node 'hear', call: .* has no method 'Hear'",
    ),
    "an output of many values": (
        TAKE + JUDGE, ("judge.model", ""), r":13: outputs.given.value: 'judge' has many values; collect them inside the stream, or give an output for each: judge",
    ),
    "an output of no stream": (TAKE, ("1", "judge"), r":12: outputs.given.each: 'judge' is no stream; there are: inputs.sound, hear"),
    "an output without its item": (
        TAKE + JUDGE, ("judge.model", "hear"), r":13: outputs.given.value: 'judge' has many values",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("run", "output", "problem"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(run, output, problem):
    """Each error tells the file, the line, the node or place in it, and what is wrong."""
    with pytest.raises(GraphError) as caught:
        compiled(around(run, *output))
    assert re.fullmatch(f"example.yaml{problem}.*", str(caught.value), re.DOTALL), str(caught.value)


TWO = """\
name: example
summary: An example.
inputs:
  one: {kind: text, stream: true, summary: One.}
  two: {kind: text, stream: true, summary: Two.}
run:
  sequence:
    - stream: [{node: a, each: inputs.one, collect: true, value: inputs.one, most: 3}]
    - stream: [{node: b, each: inputs.two, collect: true, value: 'inputs.two + a[0]', most: 3}]
outputs:
  given: {value: 'a + b', summary: All.}
"""


def test_streams_one_after_the_other():
    """Each takes inputs of its own, and the later sees what the earlier has collected."""
    assert compiled(TWO).output_types == {"given": "LIST<STRING>"}


def test_an_input_flows_once():
    """Two streams cannot take the same items."""
    with pytest.raises(GraphError, match=r"^example.yaml:4: inputs.one: two streams cannot take one input"):
        compiled(TWO.replace("inputs.two", "inputs.one"))


def test_a_stream_that_nobody_takes():
    """An input is never used, also when an output would give its items."""
    text = TWO.replace("value: 'inputs.two + a[0]'", "value: '\"\"'").replace("each: inputs.two", "each: inputs.one")
    text = text.replace("    - stream: [{node: a, each: inputs.one,", "    - stream: [{node: a, each: inputs.three,")
    text = text.replace("inputs:\n", "inputs:\n  three: {kind: text, stream: true, summary: Three.}\n").replace(
        "value: inputs.one, most", "value: '\"\"', most"
    )
    with pytest.raises(GraphError, match=r"^example.yaml:6: inputs.two: is never used$"):
        compiled(text)
    with pytest.raises(GraphError, match=r"outputs.given.each: 'inputs.two' is no stream; there are: inputs.three"):
        compiled(text.replace("value: 'a + b'", "each: inputs.two, value: inputs.two"))


def test_lines_of_stages():
    """Places inside what is sent have their own lines."""
    source = read(
        f"run:\n  stream:\n    - node: hear\n      each: inputs.x\n      {HEAR}\n      send:\n        - request:\n"
        "            audio_content: x\nname: a\nsummary: b\noutputs: {c: {value: d, summary: e}}"
    )
    assert source.line("hear", "send[0].request.audio_content") == 8
