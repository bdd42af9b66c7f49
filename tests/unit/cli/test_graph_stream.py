"""`maas graph stream`."""

from __future__ import annotations

import _thread
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from maas.router.v1 import graph_pb2
from maas.router.v1 import router_pb2 as pb
from services.cli.graph import sources
from services.cli.sounds import wav_header
from tests.unit.cli.commands import GRAPH
from tests.unit.cli.fakes import FakeMesh, Maas

SPEAK = GRAPH | {
    "name": "speak",
    "inputs": {"sound": {"kind": "data", "stream": True}, "to": {"kind": "text"}},
    "outputs": {
        "said": {"each": "hear", "value": "hear.text"},
        "audio": {"each": "hear", "value": "hear.sound"},
        "count": {"value": "1"},
    },
}


def item(name: str, **value: object) -> pb.StreamingRunGraphResponse:
    """An item that is answered."""
    return pb.StreamingRunGraphResponse(item=pb.StreamItem(name=name, value=pb.Value(**value)))


END = ParseDict(
    {"end": {"outputs": {"count": {"number": 2}}, "nodes": [{"node": "hear", "runs": 3, "endOffset": "1s"}]}},
    pb.StreamingRunGraphResponse(),
)
ANSWERS = [item("said", text="good morning"), item("audio", data=b"RI"), item("audio", data=b"FF"), END]


@pytest.fixture(autouse=True)
def _answers(mesh: FakeMesh) -> None:
    mesh.replies["GetGraph"] = ParseDict({"graph": SPEAK}, graph_pb2.GetGraphResponse())
    mesh.replies["StreamingRunGraph"] = ANSWERS


def takes(mesh: FakeMesh, **kinds: str) -> None:
    """The graph takes streams of these kinds."""
    inputs = {name: {"kind": kind, "stream": True} for name, kind in kinds.items()}
    mesh.replies["GetGraph"] = ParseDict({"graph": SPEAK | {"inputs": inputs}}, graph_pb2.GetGraphResponse())


def sent(mesh: FakeMesh) -> list[dict[str, object]]:
    """What was streamed, as JSON, without the configuration."""
    return [MessageToDict(each) for each in mesh.requests if isinstance(each, pb.StreamingRunGraphRequest)][1:]


def unwrapped(text: str) -> str:
    """What stands in a box, on one line."""
    return " ".join(text.replace("│", " ").split())


def test_a_file_is_sent_in_pieces(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """The configuration first, then the file in pieces of at most 32 KiB, then the end of that stream."""
    content = bytes(range(256)) * 400
    (tmp_path / "a.wav").write_bytes(content)
    result = maas("graph", "stream", "speak", "-s", f"sound=@{tmp_path}/a.wav", "-i", "to=zh", "--key", "ada")
    assert result.exit_code == 0
    _, first, *pieces, last = mesh.requests
    assert first.config == pb.StreamingRunGraphConfig(
        graph="speak", inputs={"to": pb.Value(text="zh")}, routing_key="ada"
    )
    assert b"".join(each.item.value.data for each in pieces) == content
    assert {each.item.name for each in pieces} == {"sound"}
    assert max(len(each.item.value.data) for each in pieces) <= 32 * 1024
    assert last.end_of_input.name == "sound"


def test_outputs_are_printed_as_they_come(maas: Maas):
    """A text is a line with its time; data are counted; at the end come the other outputs and what the nodes did."""
    lines = [
        line.split() for line in maas("graph", "stream", "speak", "-s", "sound=@-", stdin=b"x").stdout.splitlines()
    ]
    assert lines[0][1:] == ["said", "good", "morning"]
    assert lines[0][0].startswith("0:0")
    audio, said = (next(line for line in lines[1:] if line[:1] == [name]) for name in ("audio", "said"))
    assert (audio[1], audio[-1], said[1]) == ("2", "4", "1")
    assert ["count", "2"] in lines
    assert lines[-1][-2:] == ["3", "runs"]


def test_json_is_a_line_a_message(maas: Maas):
    """With --json each answer is a line of protobuf JSON, and nothing else is printed."""
    out = maas("graph", "stream", "speak", "-s", "sound=@-", "--json", stdin=b"x").stdout
    assert [json.loads(line) for line in out.splitlines()] == [
        MessageToDict(each, always_print_fields_with_no_presence=True) for each in ANSWERS
    ]


def test_data_are_written_as_they_come(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """--save writes an output to a file, piece by piece; a WAV file gets its length at the end."""
    whole = wav_header(16_000) + bytes(320)
    mesh.replies["StreamingRunGraph"] = [item("audio", data=whole[:100]), item("audio", data=whole[100:]), END]
    path = tmp_path / "out.wav"
    maas("graph", "stream", "speak", "-s", "sound=@-", "--save", f"audio={path}", stdin=b"x")
    written = path.read_bytes()
    assert len(written) == len(whole)
    assert int.from_bytes(written[40:44], "little") == 320
    result = maas("graph", "stream", "speak", "-s", "sound=@-", "--save", f"count={path}", stdin=b"x")
    assert (result.exit_code, "count is no output of speak that streams" in result.stderr) == (2, True)


def test_what_came_before_a_failure_stays(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """A graph that fails in the middle is explained, with code 1; what it gave until then is printed and written."""
    mesh.replies["StreamingRunGraph"] = [*ANSWERS[:3], Status(code=14, message="the model went away")]
    result = maas("graph", "stream", "speak", "-s", "sound=@-", "--save", f"audio={tmp_path}/a", stdin=b"x")
    assert result.exit_code == 1
    assert "good morning" in result.stdout
    assert "UNAVAILABLE: the model went away" in result.stderr
    assert (tmp_path / "a").read_bytes() == b"RIFF"


def test_items_are_of_the_kind_of_their_stream(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """Texts and numbers come a line each, or as typed; several streams are sent in turn, each with its end."""
    takes(mesh, line="text", n="number", on="flag")
    (tmp_path / "lines").write_text("one\n\ntwo\nlast")
    typed = [f"line=@{tmp_path}/lines", "n=1.5", "n=-2", "on=true"]
    assert maas("graph", "stream", "speak", *(part for each in typed for part in ("-s", each))).exit_code == 0
    assert sent(mesh) == [
        {"item": {"name": "line", "value": {"text": "one"}}},
        {"item": {"name": "n", "value": {"number": 1.5}}},
        {"item": {"name": "on", "value": {"flag": True}}},
        {"item": {"name": "line", "value": {"text": "two"}}},
        {"item": {"name": "n", "value": {"number": -2.0}}},
        {"endOfInput": {"name": "on"}},
        {"item": {"name": "line", "value": {"text": "last"}}},
        {"endOfInput": {"name": "n"}},
        {"endOfInput": {"name": "line"}},
    ]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["n=1"], "takes the stream sound: give --stream sound=@FILE"),
        (["sound"], "takes NAME=@FILE"),
        (["to=x"], "to is no stream that speak takes; there are: n, sound"),
        (["n=1", "sound=hello"], "sound takes data"),
        (["n=1", "sound=@no-such.wav"], "cannot be read"),
        (["sound=@-", "n=@-"], "standard input can be read only once"),
        ([f"sound=@{__file__}", "n=true"], "n takes numbers, got 'true'"),
    ],
)
def test_wrong_streams_are_wrong_usage(mesh: FakeMesh, maas: Maas, typed: list[str], told: str):
    """A stream that is missing or unknown, and items that are not of its kind, are told before anything is sent."""
    takes(mesh, sound="data", n="number")
    result = maas("graph", "stream", "speak", *(part for each in typed for part in ("-s", each)))
    assert result.exit_code == 2
    assert told in unwrapped(result.stderr)
    assert not any(isinstance(each, pb.StreamingRunGraphRequest) for each in mesh.requests)


def test_a_recording_is_sent_as_fast_as_it_plays(
    mesh: FakeMesh, maas: Maas, build: Path, monkeypatch: pytest.MonkeyPatch
):
    """--live sends a tenth of a second at a time, and waits for as long as all that was sent plays."""
    waited: list[float] = []
    monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=waited.append))
    recording = next((build / "samples").glob("*.wav"))
    maas("graph", "stream", "speak", "-s", f"sound=@{recording}", "--live")
    # A tenth of a second of samples, and what the header adds to each.
    assert waited[-1] == pytest.approx(0.1)
    assert len(waited) == 1
    (build / "text").write_text("this plays nothing")
    result = maas("graph", "stream", "speak", "-s", f"sound=@{build}/text", "--live")
    assert (result.exit_code, "leave out --live" in unwrapped(result.stderr)) == (2, True)
    assert sum(isinstance(each, pb.StreamingRunGraphRequest) and each.HasField("config") for each in mesh.requests) == 1


def test_a_line_that_is_no_item_ends_the_stream(mesh: FakeMesh, maas: Maas, tmp_path: Path):
    """What is wrong far down in a file is told when it is reached; what came until then is printed."""
    takes(mesh, n="number")
    (tmp_path / "numbers").write_text("1\ntwo\n3\n")
    result = maas("graph", "stream", "speak", "-s", f"n=@{tmp_path}/numbers")
    assert (result.exit_code, "n takes numbers, got 'two'" in result.stderr) == (2, True)
    assert "good morning" in result.stdout
    assert sent(mesh) == [{"item": {"name": "n", "value": {"number": 1.0}}}]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C counts, also where the tests run in the background of a shell that has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cancels_the_graph(mesh: FakeMesh, maas: Maas):
    """Ctrl-C while a graph runs cancels it at the mesh and ends the command with code 130."""
    cancelled = threading.Event()

    def endless(_: Message, context: grpc.ServicerContext) -> Iterator[Message]:
        context.add_callback(cancelled.set)
        yield ANSWERS[0]
        _thread.interrupt_main()
        cancelled.wait(10)

    mesh.replies["StreamingRunGraph"] = endless
    result = maas("graph", "stream", "speak", "-s", "sound=@-", stdin=b"x")
    assert (result.exit_code, "stopped" in result.stderr) == (130, True)
    assert cancelled.wait(10)
