"""`maas graph` and `maas models`."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.any_pb2 import Any
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from maas.router.v1 import router_pb2 as pb
from maas.vision.v1 import vision_pb2
from tests.unit.cli.fakes import FakeMesh, Maas


def packed(message: Message) -> pb.Value:
    """A value that is a message."""
    value = pb.Value()
    value.message.Pack(message)
    return value


def test_inputs_are_typed_by_how_they_are_written(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """=TEXT is a text, =@FILE bytes, :=JSON a number, a truth value or a list; "=" may stand in a text."""
    (tmp_path / "dog.jpg").write_bytes(b"\xff\xd8")
    mesh.replies["RunGraph"] = pb.RunGraphResponse()
    typed = ["text=a=b", f"photo=@{tmp_path}/dog.jpg", "sound=@-", "n:=2.5", "flag:=true", 'list:=["a", 1]', "n2=7"]
    inputs = [part for each in typed for part in ("--input", each)]
    assert maas("graph", "run", "look-twice", *inputs, stdin=b"RIFF").exit_code == 0
    items = [pb.Value(text="a"), pb.Value(number=1)]
    assert mesh.requests == [
        pb.RunGraphRequest(
            graph="look-twice",
            inputs={
                "text": pb.Value(text="a=b"),
                "photo": pb.Value(data=b"\xff\xd8"),
                "sound": pb.Value(data=b"RIFF"),
                "n": pb.Value(number=2.5),
                "flag": pb.Value(flag=True),
                "list": pb.Value(list=pb.ValueList(values=items)),
                "n2": pb.Value(text="7"),
            },
        )
    ]


def test_run_prints_outputs_and_nodes(mesh: FakeMesh, maas: Maas):
    """Simple outputs have a line each, lists stand under their name, and each node has a bar for when it ran."""
    answer = ParseDict(
        {
            "outputs": {
                "transcript": {"text": "go forward"},
                "score": {"number": 0.5},
                "good": {"flag": True},
                "sound": {"data": "AAEC"},
                "words": {"list": {"values": [{"text": "go"}, {"number": 2}]}},
            },
            "nodes": [
                {"node": "hear", "method": "maas.speech.v1.SpeechService/Recognize", "endOffset": "0.500s"},
                {
                    "node": "judge",
                    "method": "maas.nlp.v1.NlpService/AnalyzeSentiment",
                    "startOffset": "0.500s",
                    "endOffset": "1s",
                },
            ],
        },
        pb.RunGraphResponse(),
    )
    mesh.replies["RunGraph"] = answer
    out = maas("graph", "run", "hear-and-judge").stdout
    simple = [line.split(maxsplit=1) for line in out.splitlines()[1:5]]
    assert [(name, text.strip()) for name, text in simple] == [
        ("good", "yes"),
        ("score", "0.5"),
        ("sound", "(3 bytes)"),
        ("transcript", "go forward"),
    ]
    assert "words\n- go\n- 2\n" in out
    hear, judge = out.splitlines()[-2:]
    assert hear.split() == ["hear", "Recognize", "━" * 14, "500", "ms"]
    assert judge.split() == ["judge", "AnalyzeSentiment", "━" * 14, "500", "ms"]
    assert judge.index("━") == hear.index("━") + 14


def test_messages_become_tables(mesh: FakeMesh, maas: Maas):
    """An output that is an answer of another service is shown as a table of what it lists; an unknown type by name."""
    labels = vision_pb2.ClassifyImageResponse(
        labels=[vision_pb2.Label(name="espresso", score=0.96), vision_pb2.Label(name="cup", score=0.02)]
    )
    each = pb.Value(list=pb.ValueList(values=[packed(label) for label in labels.labels]))
    strange = pb.Value(message=Any(type_url="type.googleapis.com/other.Thing", value=b"1234"))
    mesh.replies["RunGraph"] = pb.RunGraphResponse(outputs={"whole": packed(labels), "each": each, "other": strange})
    result = maas("graph", "run", "look-twice")
    table = ["name      score", "espresso  0.96", "cup       0.02"]
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    for name in ("whole", "each"):
        at = lines.index(name)
        assert lines[at + 1 : at + 4] == table
    assert "other.Thing" in result.stdout


def test_models_lists_services_models_and_graphs(mesh: FakeMesh, maas: Maas):
    """One command tells what the mesh can do; a service that did not answer says so."""
    mesh.replies["ListCapabilities"] = ParseDict(
        {
            "services": [
                {
                    "name": "maas.nlp.v1.NlpService",
                    "methods": ["AnalyzeSentiment", "EmbedText"],
                    "models": [{"name": "minilm-l6", "task": "text-embedding", "summary": "Small."}],
                },
                {"name": "maas.speech.v1.SpeechService", "status": {"code": 14, "message": "is not reachable"}},
            ],
            "graphs": [
                {
                    "name": "look-twice",
                    "summary": "Looks.",
                    "inputs": [{"name": "photo", "kind": "VALUE_KIND_DATA"}],
                    "outputs": [{"name": "labels", "kind": "VALUE_KIND_LIST"}],
                }
            ],
        },
        pb.ListCapabilitiesResponse(),
    )
    out = maas("models").stdout
    assert "AnalyzeSentiment, EmbedText" in out
    assert "did not answer: is not reachable" in out
    assert "minilm-l6  text-embedding" in out
    lines = [line.split() for line in out.splitlines()]
    at = lines.index(["look-twice", "Looks."])
    assert lines[at + 1 : at + 3] == [["takes", "photo", "(data)"], ["gives", "labels", "(list)"]]


def test_an_output_that_is_data_is_saved(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--save writes an output's bytes to a file; of one that is no data, or of none, it says so."""
    mesh.replies["RunGraph"] = pb.RunGraphResponse(
        outputs={"audio": pb.Value(data=b"RIFF"), "text": pb.Value(text="said")}
    )
    path = tmp_path / "said.wav"
    assert maas("graph", "run", "speak", "--save", f"audio={path}").exit_code == 0
    assert path.read_bytes() == b"RIFF"
    for wrong in ("text", "else"):
        assert "is no output of speak" in maas("graph", "run", "speak", "--save", f"{wrong}={path}").stderr
    assert "is not OUTPUT=FILE" in maas("graph", "run", "speak", "--save", "audio").stderr


def test_what_is_unusual_of_a_node_is_told(mesh: FakeMesh, maas: Maas):
    """A node that failed without ending the graph, ran often, was called again or was answered from the cache."""
    mesh.replies["RunGraph"] = ParseDict(
        {
            "nodes": [
                {"node": "a", "status": {"code": 14, "message": "went away"}, "runs": 1},
                {"node": "b", "runs": 12, "extraCalls": 1, "cached": 3},
                {"node": "c", "extraCalls": 2},
            ]
        },
        pb.RunGraphResponse(),
    )
    a, b, c = maas("graph", "run", "shout").stdout.splitlines()[-3:]
    assert a.rstrip().endswith("failed: UNAVAILABLE: went away")
    assert b.rstrip().endswith("12 runs, 1 extra call, 3 cached")
    assert c.rstrip().endswith("2 extra calls")


def test_the_routing_key_is_sent(mesh: FakeMesh, maas: Maas):
    """--key goes with the request."""
    mesh.replies["RunGraph"] = pb.RunGraphResponse()
    maas("graph", "run", "shout", "--key", "ada")
    assert mesh.requests == [pb.RunGraphRequest(graph="shout", routing_key="ada")]


def test_a_stream_of_data_is_saved_as_a_whole(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A list of data, as a stream is given by RunGraph, becomes one file."""
    pieces = pb.ValueList(values=[pb.Value(data=b"RI"), pb.Value(data=b"FF")])
    mesh.replies["RunGraph"] = pb.RunGraphResponse(outputs={"audio": pb.Value(list=pieces)})
    maas("graph", "run", "speak", "--save", f"audio={tmp_path}/a.wav")
    assert (tmp_path / "a.wav").read_bytes() == b"RIFF"


def test_models_tells_streams_and_readiness(mesh: FakeMesh, maas: Maas):
    """What streams, what may be left out, how long a graph usually takes, and whether it can run."""
    mesh.replies["ListCapabilities"] = ParseDict(
        {
            "graphs": [
                {
                    "name": "speak",
                    "inputs": [
                        {"name": "sound", "kind": "VALUE_KIND_DATA", "stream": True},
                        {"name": "to", "kind": "VALUE_KIND_TEXT", "optional": True},
                    ],
                    "outputs": [{"name": "audio", "kind": "VALUE_KIND_DATA", "stream": True}],
                    "ready": True,
                    "predictedDuration": "1.500s",
                },
                {"name": "think"},
            ]
        },
        pb.ListCapabilitiesResponse(),
    )
    out = maas("models").stdout
    assert "takes sound (data, stream), to (text, may be left out)" in out
    assert "gives audio (data, stream)" in out
    assert "usually in 1.50 s" in out
    assert out.count("not ready") == 1
