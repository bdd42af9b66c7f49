"""`maas demo` against fakes: what it sends, shows and says when something is missing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status

from deploy.local.lock import AlreadyRunning
from deploy.local.settings import LocalSettings
from maas.speech.v1 import speech_pb2
from services.cli import demo
from services.cli.try_next import commands
from tests.unit.cli.demo_answers import answer_everything, port_of
from tests.unit.cli.fakes import FakeMesh, Maas


def test_the_demo_shows_answers_and_times(mesh: FakeMesh, maas: Maas, build: Path):
    """Every kind of answer is on the page with its time, the files it names exist, and no line is wider than 80."""
    answer_everything(mesh)
    result = maas("demo", "--port", port_of(mesh))
    assert (result.exit_code, result.stderr) == (0, "")
    for shown in (
        "espresso",
        "cup",
        "a face, some 36 years old, happy",
        "Region-based segmentation",
        "dog #1",
        "positive",
        "0.80",
        "sport",
        "[Angela Merkel person] visited",
        "writer writes here. The larger one needs more memory.",
        "A ferry turned back.",
        "412 people",
        "the passages do not contain the answer",
        "Thank you for waiting.",
        "so far: And so ...",
        "0.0 s  And so my fellow Americans.",
        "set_timer: minutes = 25 (confidence 0.90)",
        "no command",
        "word for word what was said",
        "the first sound",
        "Looks like espresso.",
    ):
        assert shown in result.stdout
    for called in (
        "ClassifyImage",
        "EmbedText",
        "Recognize",
        "SynthesizeSpeech",
        "StreamingRecognize",
        "StreamingRunGraph",
    ):
        assert called in result.stdout
    assert (build / "demo" / "boxes.png").exists()
    assert (build / "demo" / "spoken.wav").read_bytes().startswith(b"RIFFThis sentence")
    shown_lines, _, _ = result.stdout.partition("ADDRESSES")
    assert max(len(line.rstrip()) for line in shown_lines.splitlines() if str(build) not in line) <= 80
    assert "\x1b" not in result.stdout


def test_the_demo_listens_to_what_it_spoke(mesh: FakeMesh, maas: Maas, build: Path):
    """The sound that SynthesizeSpeech gave is what Recognize gets next, and a mishearing is owned up to."""
    answer_everything(mesh)
    mesh.replies["Recognize"] = speech_pb2.RecognizeResponse(transcript="something else")
    result = maas("demo", "--port", port_of(mesh))
    heard = [request for request in mesh.requests if isinstance(request, speech_pb2.RecognizeRequest)]
    assert heard[-1].audio.content.startswith(b"RIFFThis sentence")
    assert "not word for word what was said" in result.stdout


def test_the_demo_ends_with_commands(mesh: FakeMesh, maas: Maas, build: Path):
    """Addresses and three commands, with the port that was used, stand at the end."""
    answer_everything(mesh)
    end = maas("demo", "--port", port_of(mesh)).stdout.partition("ADDRESSES")[2]
    assert mesh.address in end
    for command in commands(mesh.address, build):
        assert command in end


def test_a_failing_call_ends_the_demo(mesh: FakeMesh, maas: Maas, build: Path):
    """The demo stops at the first call that fails and explains it."""
    answer_everything(mesh)
    mesh.replies["EmbedText"] = Status(code=14, message="the model is loading")
    result = maas("demo", "--port", port_of(mesh))
    assert result.exit_code == 1
    assert "UNAVAILABLE: the model is loading" in result.stderr
    assert "SynthesizeSpeech" not in result.stdout


@pytest.fixture
def events(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a stand-in for the local mesh did, in order, with the calls that the fakes got in between."""
    done: list[str] = []

    @contextmanager
    def running(settings: LocalSettings, _: threading.Event) -> Iterator[None]:
        done.append("started with traces" if settings.traces else "started without traces")
        yield
        done.append(f"stopped after {len(mesh.requests)} calls")

    monkeypatch.setattr(demo, "running_mesh", running)
    monkeypatch.setattr(demo, "follow", lambda *_: done.append("followed"))
    return done


def test_the_demo_starts_and_stops_its_own_mesh(mesh: FakeMesh, maas: Maas, build: Path, events: list[str]):
    """--up runs the mesh with traces around the demo and says how to start it again."""
    answer_everything(mesh)
    result = maas("demo", "--up", "--port", port_of(mesh))
    assert events == ["started with traces", f"stopped after {len(mesh.requests)} calls"]
    assert mesh.requests
    assert "make up" in result.stdout


def test_the_demo_keeps_its_mesh_when_told(mesh: FakeMesh, maas: Maas, build: Path, events: list[str]):
    """--keep follows the mesh, as `maas up` does, before it stops."""
    answer_everything(mesh)
    assert maas("demo", "--up", "--keep", "--port", port_of(mesh)).exit_code == 0
    assert events[1] == "followed"


def test_a_mesh_that_runs_already_is_shown(mesh: FakeMesh, maas: Maas, build: Path, monkeypatch: pytest.MonkeyPatch):
    """--up with a mesh on that port shows that one and stops nothing."""

    @contextmanager
    def taken(*_: object) -> Iterator[None]:
        raise AlreadyRunning("it runs")
        yield

    monkeypatch.setattr(demo, "running_mesh", taken)
    answer_everything(mesh)
    result = maas("demo", "--up", "--port", port_of(mesh))
    assert result.exit_code == 0
    assert "A mesh already runs" in result.stdout
    assert "make up" not in result.stdout


def test_a_signal_ends_the_demo(mesh: FakeMesh, maas: Maas, build: Path, monkeypatch: pytest.MonkeyPatch):
    """After Ctrl-C no further call is made, the mesh is stopped, and the exit code says that it was interrupted."""
    stopped: list[bool] = []

    @contextmanager
    def interrupted(_: LocalSettings, stop: threading.Event) -> Iterator[None]:
        stop.set()
        try:
            yield
        finally:
            stopped.append(True)

    monkeypatch.setattr(demo, "running_mesh", interrupted)
    result = maas("demo", "--up", "--port", port_of(mesh))
    assert (result.exit_code, mesh.requests, stopped) == (130, [], [True])


def test_missing_samples_say_what_makes_them(maas: Maas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without samples the demo names the command that makes them."""
    monkeypatch.setenv("MAAS_BUILD_DIRECTORY", str(tmp_path))
    result = maas("demo")
    assert result.exit_code == 1
    assert "make models" in result.stderr


def test_a_demo_without_a_mesh_says_how_to_start_one(maas: Maas, build: Path, unused_address: str):
    """Where nothing listens, the demo ends as any command does."""
    result = maas("demo", "--port", unused_address.rpartition(":")[2])
    assert result.exit_code == 1
    assert "start the mesh with: maas up" in result.stderr
