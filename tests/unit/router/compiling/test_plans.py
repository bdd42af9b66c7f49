"""What graphs become: plans whose expressions and requests can be evaluated."""

import datetime as dt
from pathlib import Path

import pytest

from maas.nlp.v1 import conversation_pb2, nlp_pb2
from maas.router.v1 import router_pb2 as pb
from maas.speech.v1 import live_pb2, speech_pb2
from services.router import app as router_app
from services.router.compiling import load
from services.router.pipelines.plan import (
    CallStep,
    CollectStep,
    EnsembleStep,
    FallbackStep,
    MapStep,
    ParallelStep,
    PrivacyStep,
    SequenceStep,
    StreamCallStep,
    StreamStep,
    SwitchStep,
)
from services.router.values import kind_of_type
from tests.unit.router.compiling.example import EXAMPLE, HEAR, REPLY, SENTIMENT, around, call, compiled, spoilt

SHIPPED = Path(router_app.__file__).parent / "graphs"


class Built:
    """Callers that keep what they were made of."""

    masker = object()

    def __init__(self):
        self.requests = {}
        self.streams = {}

    def unary(self, graph, node, method, build):
        self.requests[node.node] = build
        return (graph, node.node, method.name)

    def stream(self, graph, node, method):
        self.streams[node.node] = method
        return (graph, node.node, method.name)


def bound(text):
    """The step of a graph, and the callers that it was bound to."""
    callers = Built()
    return compiled(text).bind(callers).step, callers


def test_the_shipped_graphs_compile():
    """Every graph of the folder beside the code can run, and is there under its name."""
    graphs = load(SHIPPED)
    assert sorted(graphs) == sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    for name, graph in graphs.items():
        assert graph.bind(Built()).graph == name


def test_a_sequence_of_calls():
    """Each has its method's caller, its request is built from the scope, and outputs from the last scope."""
    graph = compiled(EXAMPLE)
    callers = Built()
    plan = graph.bind(callers)
    assert isinstance(plan.step, SequenceStep)
    hear, judge = plan.step.steps
    assert isinstance(hear, CallStep)
    assert (hear.node, hear.caller) == ("hear", ("example", "hear", "maas.speech.v1.SpeechService/Recognize"))
    assert (judge.optional, judge.timeout, judge.share) == (False, None, None)
    scope = {"inputs.recording": b"RIFF", "hear": speech_pb2.RecognizeResponse(transcript="good")}
    assert callers.requests["hear"](scope) == speech_pb2.RecognizeRequest(audio={"content": b"RIFF"})
    assert callers.requests["judge"](scope) == nlp_pb2.AnalyzeSentimentRequest(contents=["good"])
    answer = nlp_pb2.AnalyzeSentimentResponse(results=[{"score": 0.5}])
    assert plan.outputs["score"]({**scope, "judge": answer}) == 0.5
    assert (plan.graph, plan.version, plan.stream_outputs) == ("example", graph.version, ())
    assert graph.methods["judge"].unary


def test_nodes_before_a_nested_block_are_visible_in_it_and_all_of_it_after_it():
    """In sequence after parallel blocks, the answers of all their nodes may be used."""
    step, callers = bound(
        around(
            f"sequence:\n  - parallel:\n      - sequence: [{call('a')}, {call('b', 'a.model')}]\n      - {call('c')}\n"
            f"  - {call('d', 'b.model + c.model')}",
            "d.model",
        )
    )
    both, _ = step.steps
    assert isinstance(both, ParallelStep)
    assert both.quorum == 2
    scope = {name: nlp_pb2.AnalyzeSentimentResponse(model=name) for name in "abc"} | {"inputs.text": "x"}
    assert callers.requests["d"](scope).contents == ["bc"]


def test_an_optional_node_may_have_failed():
    """Its failure is a truth value after it, and its empty value is an empty answer."""
    step, callers = bound(
        around(
            f"sequence:\n  - {call('a', more=', optional: true, timeout: 2s, share: 0.5')}\n"
            f"  - {call('b', 'failed.a ? inputs.other : a.model')}",
            "b.model",
        )
    )
    first, _ = step.steps
    assert (first.optional, first.timeout, first.share) == (True, 2.0, 0.5)
    assert first.empty() == nlp_pb2.AnalyzeSentimentResponse()
    scope = {"inputs.text": "x", "inputs.other": "y", "a": first.empty(), "failed.a": True}
    assert callers.requests["b"](scope).contents == ["y"]


def test_nodes_of_a_quorum_may_have_failed():
    """All of them, however deep, are as optional ones are."""
    step, _ = bound(
        around(
            f"parallel:\n  - {call('a')}\n  - sequence: [{call('b')}, {call('c', 'b.model')}]\nquorum: 1",
            "failed.a ? (failed.b ? a.model : c.model) : a.model",
        )
    )
    assert step.quorum == 1


EMPTY = {
    "inputs.text": "",
    "1": 0,
    "1u": 0,
    "0.5": 0.0,
    "inputs.sure": False,
    'b"x"': b"",
    "[1, 2]": [],
    'duration("2s")': dt.timedelta(0),
    'timestamp("2020-01-01T00:00:00Z")': dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
}


@pytest.mark.parametrize(("source", "value"), EMPTY.items(), ids=EMPTY)
def test_the_empty_value_of_each_type(source, value):
    """A node that failed has the value of its type that stands for none, and expressions take it."""
    text = around(f"node: out\noptional: true\nswitch: [{{when: inputs.sure, gives: '{source}'}}]", "[out]")
    callers = Built()
    plan = compiled(text).bind(callers)
    empty = plan.step.empty()
    assert (empty, type(empty)) == (value, type(value))
    assert plan.outputs["given"]({"out": empty, "failed.out": True}) == [value]


def test_a_switch():
    """Conditions and ways are evaluated in the scope; a way may give what it runs, or something made of it."""
    step, _ = bound(
        around(
            f"node: out\nswitch:\n  - {{when: inputs.sure, run: {call('a')}, gives: a.model}}\n"
            "  - {when: 'size(inputs.text) > 3', gives: inputs.text}\notherwise: {gives: '\"none\"'}",
            "out",
        )
    )
    assert isinstance(step, SwitchStep)
    scope = {"inputs.sure": False, "inputs.text": "long", "a": nlp_pb2.AnalyzeSentimentResponse(model="m")}
    assert [when(scope) for when, _ in step.cases] == [False, True]
    assert [way.gives(scope) for _, way in step.cases] == ["m", "long"]
    assert step.otherwise.gives(scope) == "none"
    assert isinstance(step.cases[0][1].run, CallStep)
    assert step.cases[1][1].run is None


def test_a_map():
    """Items have the type of the list's, and the value is a list of what is given."""
    text = around(
        "node: out\nmap: inputs.text.split(',')\nas: word\nmost: 7\nat_once: 3\n"
        f"run: {call('a', 'word')}\ngives: a.model + word",
        "out",
    )
    step, callers = bound(text)
    assert isinstance(step, MapStep)
    assert (step.item, step.most, step.at_once) == ("word", 7, 3)
    assert step.items({"inputs.text": "a,b"}) == ["a", "b"]
    assert callers.requests["a"]({"word": "b"}).contents == ["b"]
    assert compiled(text).output_types["given"] == "LIST<STRING>"


def test_two_maps_may_call_their_items_alike():
    """Each sees its own."""
    one = "{{node: {0}, map: '[1]', as: number, most: 2, gives: 'a{0}.model', run: {1}}}"
    maps = [one.format(name, call("a" + name, "string(number)")) for name in ("x", "y")]
    assert compiled(around(f"parallel: [{', '.join(maps)}]", "x + y")).output_types["given"] == "LIST<STRING>"


def test_an_ensemble():
    """A mean of whole numbers is none; members have weights, and scores in their own scopes."""
    mean = around("node: out\nensemble: [{gives: '1', weight: 3}, {gives: '2'}]\ncombine: mean", "out")
    assert compiled(mean).output_types["given"] == "DOUBLE"
    lists = around("node: out\nensemble: [{gives: '[1]'}, {gives: '[2]'}]\ncombine: mean", "out")
    assert compiled(lists).output_types["given"] == "LIST<DOUBLE>"
    best = f"{{run: {call('a')}, gives: a.model, score: 'a.results[0].score'}}"
    step, _ = bound(
        around(f"node: out\nensemble:\n  - {best}\n  - {{gives: inputs.text, score: '0'}}\ncombine: best", "out")
    )
    assert isinstance(step, EnsembleStep)
    answer = nlp_pb2.AnalyzeSentimentResponse(results=[{"score": 0.5}])
    assert [member.score({"a": answer}) for member in step.members] == [0.5, 0]
    assert [member.weight for member in bound(mean)[0].members] == [3, 1]


def test_a_fallback():
    """An empty list fits to a list of texts."""
    text = around("node: out\nfallback: [{gives: '[]'}, {gives: '[inputs.text]'}]\ncodes: [NOT_FOUND]", "out")
    step, _ = bound(text)
    assert isinstance(step, FallbackStep)
    assert (step.codes, [way.gives({"inputs.text": "x"}) for way in step.ways]) == (
        frozenset({"NOT_FOUND"}),
        [[], ["x"]],
    )
    assert compiled(text).output_types["given"] == "LIST<STRING>"


def test_a_privacy():
    """The masked text has its name inside, and the masker is the callers'."""
    step, callers = bound(
        around(
            f"node: out\nprivacy: inputs.text\nas: masked\ntypes: [URL]\nlanguage_code: inputs.other\n"
            f"run: {call('a', 'masked')}\ngives: a.model + masked",
            "out",
        )
    )
    assert isinstance(step, PrivacyStep)
    assert (step.masker, step.types, step.masked) == (callers.masker, ("URL",), "masked")
    assert step.language_code({"inputs.other": "de"}) == "de"
    assert not step.keep_marks


def test_a_masked_copy_may_be_of_any_type():
    """Marks that stay need no text to be replaced in."""
    text = around("node: out\nprivacy: inputs.text\nas: masked\nkeep_marks: true\ngives: masked.split(',')", "out")
    assert compiled(text).output_types["given"] == "LIST<STRING>"
    assert bound(text)[0].keep_marks


def test_who_enrolls_is_needed_without_an_answer():
    """A call that changes something runs although no output needs its value."""
    compiled(around("{node: enroll, call: maas.vision.v1.VisionService/EnrollFace}", "inputs.text"))


STREAM = f"""
sequence:
  - {call("before")}
  - stream:
      - node: all
        collect: true
        each: judge
        value: judge.model + hear.result.transcript
        most: 9
      - node: judge
        each: hear
        when: hear.result.is_final
        at_once: 4
        optional: true
        {SENTIMENT}
        request: {{contents: "[hear.result.transcript]"}}
      - node: reply
        each: judge
        {REPLY}
        request: {{request: {{messages: '[maas.nlp.v1.ChatMessage{{content: judge.model + before.model}}]'}}}}
      - node: hear
        each: inputs.sound
        {HEAR}
        request: {{config: {{language_code: before.model}}}}
        send:
          - when: size(inputs.sound) > 0
            request: {{audio_content: inputs.sound}}
  - {call("after", "failed.judge ? all[0] : all[0]")}
"""


def test_a_stream():
    """Stages are in the order of their sources, and each has what its kind of call needs."""
    graph = compiled(around(STREAM, "reply.delta + hear.result.transcript + judge.model", "reply").replace(
        "outputs:", "outputs:\n  last: {value: 'after.model + all[0]', summary: The last.}"
    ))  # fmt: skip
    callers = Built()
    plan = graph.bind(callers)
    _, stream, _ = plan.step.steps
    assert isinstance(stream, StreamStep)
    hear, judge, all_, reply = sorted(
        stream.stages, key=lambda stage: ["hear", "judge", "all", "reply"].index(stage.step.node)
    )
    order = [stage.step.node for stage in stream.stages]
    assert order.index("hear") < order.index("judge") < min(order.index("all"), order.index("reply"))
    assert [stage.source for stage in (hear, judge, all_, reply)] == ["inputs.sound", "hear", "judge", "judge"]

    before = {"before": nlp_pb2.AnalyzeSentimentResponse(model="en"), "inputs.text": "x"}
    assert isinstance(hear.step, StreamCallStep)
    assert not hear.step.per_item
    assert hear.step.first(before).config.language_code == "en"
    ((when, request),) = hear.step.sends
    sound = b"\x00" * 1000
    assert when({**before, "inputs.sound": sound})
    assert not when({**before, "inputs.sound": b""})
    assert request({**before, "inputs.sound": sound}).audio_content == sound

    assert isinstance(judge.step, CallStep)
    assert (judge.at_once, judge.step.optional) == (4, True)
    heard = {**before, "hear": live_pb2.StreamingRecognizeResponse(result={"transcript": "hi", "is_final": True})}
    assert judge.when(heard)
    assert callers.requests["judge"](heard).contents == ["hi"]

    judged = {**heard, "judge": nlp_pb2.AnalyzeSentimentResponse(model="m"), "failed.judge": False}
    assert isinstance(reply.step, StreamCallStep)
    assert (reply.step.per_item, reply.step.sends) == (True, ())
    assert reply.step.first(judged).request.messages[0].content == "men"
    assert isinstance(all_.step, CollectStep)
    assert (all_.step.most, all_.step.value(judged), all_.step.empty()) == (9, "mhi", [])

    (output,) = plan.stream_outputs
    replied = {**judged, "reply": conversation_pb2.StreamGenerateReplyResponse(delta="so")}
    assert (output.name, output.source, output.when, output.value(replied)) == ("given", "reply", None, "sohim")
    assert set(plan.outputs) == {"last", "used"}
    assert graph.output_types["given"] == "STRING"
    assert {name for name, method in graph.methods.items() if not method.unary} == {"hear", "reply"}


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
    needs = "judge.results[0].score"
    graph = compiled(
        spoilt((needs, expression), ("outputs:", f"outputs:\n  mood: {{value: '{needs}', summary: Mood.}}"))
    )
    assert kind_of_type(graph.output_types["score"]) == kind
