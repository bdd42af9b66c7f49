"""`maas logs`: on the files of a mesh, of which nothing runs here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.local.lock import locked
from deploy.local.processes import SERVICES, processes
from deploy.local.settings import settings_for
from tests.unit.cli.fakes import Maas

PORT = 19_000
CALL = {
    "method": "maas.nlp.v1.NlpService/EmbedText",
    "code": "OK",
    "milliseconds": 12.5,
    "models": ["minilm-l6"],
    "event": "call",
    "service": "nlp",
    "level": "info",
    "timestamp": "2026-11-30T22:55:07.733762Z",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The run directory of a mesh that somebody has started."""
    monkeypatch.setenv("MAAS_RUN_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("MAAS_PORT", str(PORT))
    (tmp_path / "logs").mkdir()
    with locked(tmp_path, PORT):
        yield tmp_path


def test_logs_are_shown_for_people(maas: Maas, run: Path):
    """JSON becomes columns, a traceback lines of its own, and what is no JSON stays; --json shows what was written."""
    failed = {**CALL, "event": "a handler failed", "level": "error", "exception": "in fail\nbuiltins.KeyError\n"}
    written = [json.dumps(CALL), "a word of gRPC's own {", json.dumps(failed)]
    (run / "logs" / "nlp.log").write_text("".join(f"{line}\n" for line in ["an old line", *written]))
    shown = maas("logs", "show", "nlp", "-n", "3").stdout.splitlines()
    call = "call  method=maas.nlp.v1.NlpService/EmbedText  code=OK  milliseconds=12.5"
    assert shown[0] == f'22:55:07.733 info    {call}  models=["minilm-l6"]'
    assert shown[1:] == ["a word of gRPC's own {", shown[2], "in fail", "builtins.KeyError"]
    assert shown[2].startswith("22:55:07.733 error   a handler failed  ")
    assert maas("logs", "show", "nlp", "--lines", "3", "--json").stdout.splitlines() == written


def test_an_unknown_log_is_named_with_those_there_are(maas: Maas, run: Path):
    """As a mistake in usage."""
    (run / "logs" / "nlp.log").touch()
    done = maas("logs", "show", "npl")
    assert done.exit_code == 2
    assert "there are: nlp" in done.stderr


def test_the_level_is_written_where_the_service_reads_it(maas: Maas, run: Path):
    """In the file that its environment names; `default` empties it, and `all` means each service."""
    assert maas("logs", "level", "nlp", "debug").exit_code == 0
    (nlp,) = [process for process in processes(settings_for(None)) if process.name == "nlp"]
    file = Path(nlp.environment["NLP_LOG_LEVEL_FILE"])
    assert file.read_text() == "debug"
    assert maas("logs", "level", "nlp", "default").exit_code == 0
    assert file.read_text() == ""
    assert maas("logs", "level", "all", "warning").exit_code == 0
    assert {each.name: each.read_text() for each in file.parent.iterdir()} == dict.fromkeys(SERVICES, "warning")


@pytest.mark.parametrize("arguments", [("nlp", "loud"), ("triton", "debug")])
def test_what_cannot_be_is_a_mistake_in_usage(maas: Maas, run: Path, arguments):
    """A level or a service that there is none of; the ones there are stand in the sentence."""
    done = maas("logs", "level", *arguments)
    assert done.exit_code == 2
    assert "there are: " in done.stderr


def test_without_a_mesh_it_says_so(maas: Maas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And how to start one."""
    monkeypatch.setenv("MAAS_RUN_DIRECTORY", str(tmp_path))
    done = maas("logs", "level", "nlp", "debug")
    assert done.exit_code == 1
    assert "maas up" in done.stderr
