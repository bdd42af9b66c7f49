"""Graphs as protobuf messages and as they are kept."""

# ruff: noqa: E501 - one fault a line

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from maas.router.v1 import graph_pb2 as pb
from services.router.compiling import compile_graph, from_document, from_proto, read, to_json, to_proto, version_of
from services.router.pipelines.graph import Graph, GraphError
from tests.unit.router.compiling.example import EXAMPLE, compiled, spoilt

NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,8}x\Z")
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
CEL = TEXTS
SECONDS = st.integers(1000, 9_999).map(lambda number: f"{number / 1000}s")
NUMBERS = st.integers(-(2**31), 2**31) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = CEL | NUMBERS | st.booleans()
REQUESTS = st.dictionaries(
    NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=2)), max_size=3
)
CODES = st.lists(st.sampled_from(["UNAVAILABLE", "INTERNAL", "NOT_FOUND"]), min_size=1, max_size=2)
FRACTIONS = st.floats(0.001, 0.5)


def made(required, **optional):
    return st.fixed_dictionaries(required, optional=optional)


def named(required, **optional):
    """A block with a name, and what all of these may have."""
    basic = made(
        {"node": NAMES},
        optional=st.booleans(), timeout=SECONDS, share=FRACTIONS, at_once=st.integers(1, 32), each=NAMES,
    )  # fmt: skip
    return st.tuples(basic, made(required, **optional)).map(lambda parts: parts[0] | parts[1])


CALLS = named(
    {"call": TEXTS},
    request=REQUESTS,
    send=st.lists(made({"request": REQUESTS}, when=CEL), max_size=2),
    retry=made({}, attempts=st.integers(1, 5), codes=CODES, backoff=SECONDS, max_backoff=SECONDS),
    hedge=made({"after": SECONDS}, percentile=st.floats(0.5, 0.999), share=FRACTIONS),
    limit=made({"at_once": st.integers(1, 1024)}, queue=st.integers(0, 1024)),
    cache=made({"ttl": SECONDS}),
) | named({"collect": st.just(value=True), "value": CEL, "most": st.integers(1, 10_000)})


def holding(inner):
    """Blocks with other blocks inside."""
    blocks = st.lists(inner, min_size=1, max_size=2)
    way = {"gives": CEL}
    return st.one_of(
        made({"sequence": blocks}),
        made({"parallel": blocks}, quorum=st.just(1)),
        made({"stream": blocks}),
        named({"map": CEL, "as": NAMES, "most": st.integers(1, 1000), "run": inner, **way}),
        named(
            {"privacy": CEL, "as": NAMES, **way},
            run=inner, types=st.just(["URL", "EMAIL"]), language_code=CEL, keep_marks=st.booleans(),
        ),
        named({"switch": st.lists(made({"when": CEL, **way}, run=inner), min_size=1, max_size=2)}, otherwise=made(way)),
        named({"fallback": st.lists(made(way, run=inner), min_size=2, max_size=3)}, codes=CODES),
        named({
            "ensemble": st.lists(made(way, run=inner, weight=st.floats(0.1, 9)), min_size=2, max_size=2),
            "combine": st.sampled_from(["vote", "mean"]),
        }),
    )  # fmt: skip


INPUTS = st.one_of(
    made({"kind": st.just("text"), "summary": TEXTS}, default=TEXTS | st.just("")),
    made({"kind": st.just("number"), "summary": TEXTS}, default=NUMBERS),
    made({"kind": st.just("flag"), "summary": TEXTS}, default=st.booleans()),
    made({"kind": st.just("data"), "summary": TEXTS}, default=st.just("")),
    made({"kind": st.just("data"), "summary": TEXTS, "stream": st.just(value=True)}),
)
DOCUMENTS = made(
    {
        "name": st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z"),
        "summary": TEXTS,
        "run": st.recursive(CALLS, holding, max_leaves=6),
        "outputs": st.dictionaries(NAMES, made({"value": CEL, "summary": TEXTS}, each=NAMES), min_size=1, max_size=2),
    },
    inputs=st.dictionaries(NAMES, INPUTS, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_the_forms_of_a_graph_are_one(document):
    """As YAML, as a message, on the wire and as it is kept, a graph is the same, and so is its version."""
    graph = Graph.model_validate(document)
    message = to_proto(graph)
    assert from_proto(message) == graph
    assert from_proto(pb.Graph.FromString(message.SerializeToString())) == graph
    assert read(yaml.safe_dump(document, allow_unicode=True)).graph == graph
    kept = from_document(json.loads(to_json(graph)))
    assert kept == graph
    assert version_of(kept) == version_of(from_proto(message)) == version_of(graph)


def test_what_is_output_only_is_passed_over():
    """A graph as the router shows it can be sent back as it is, whatever else stands there."""
    graph = read(EXAMPLE).graph
    message = to_proto(graph)
    message.version, message.etag, message.built_in = "0123456789ab", "7", True
    message.versions.append("0123456789ab")
    message.create_time.seconds = 10**17
    assert from_proto(message) == graph


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda graph: graph.run.request.update({"a": float("nan")}), "NaN"),
        (lambda graph: setattr(graph.run.timeout, "seconds", 10**17), "[Dd]uration"),
        (lambda graph: graph.inputs["a"].default.MergeFrom(type(graph.inputs["a"].default)(number_value=float("inf"))), "Infinity"),
        (lambda graph: graph.run.ClearField("call"), "exactly one of"),
    ],
    ids=["no number", "no duration", "endless", "no block"],
)  # fmt: skip
def test_messages_that_are_no_graph_are_refused(spoil, says):
    """What a message may hold and a graph may not is an error of the graph."""
    message = pb.Graph(name="a", summary="b", run=pb.Block(node="n", call="x"))
    message.run.timeout.FromSeconds(1)
    message.outputs["o"].value = "n"
    spoil(message)
    with pytest.raises(GraphError, match=says):
        from_proto(message)


def test_versions_are_of_the_content():
    """How a text is written does not matter; what it says does, defaults that are written out not."""
    version = version_of(read(EXAMPLE).graph)
    assert len(version) == 12
    assert version_of(read("# A comment.\n" + EXAMPLE).graph) == version
    assert version_of(read(spoilt(("node: judge", "node: judge\n      retry: {attempts: 3}"))).graph) == version
    assert version_of(read(spoilt(("node: judge", "node: judge\n      retry: {attempts: 2}"))).graph) != version
    assert compiled(EXAMPLE).version == version


def test_whole_numbers_stay_whole():
    """Numbers of requests pass protobuf, which has one kind of number, and fit into fields of both kinds."""
    text = """\
name: a
summary: b
inputs: {photo: {kind: data, summary: c}}
run: {node: look, call: maas.vision.v1.VisionService/ClassifyImage, request: {max_results: 5, min_score: 1, image: {content: inputs.photo}}}
outputs: {labels: {value: look.labels, summary: d}}
"""
    graph = from_proto(to_proto(read(text).graph))
    assert to_json(graph) == to_json(read(text).graph)
    compile_graph(graph)
    compiled(text.replace("max_results: 5,", "max_results: 5.0,"))
