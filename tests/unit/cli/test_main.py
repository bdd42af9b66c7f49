"""The program `maas` itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.cli import __main__ as program
from services.cli.app import COMMANDS
from tests.unit.cli.fakes import Maas

HEAVY = ("numpy", "PIL", "av", "opentelemetry.sdk", "cel_expr_python", "jinja2", "supervisor")


def test_a_fault_of_the_command_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Whatever goes wrong inside, a person sees one sentence and code 1; MAAS_DEBUG shows the exception itself."""

    def broken(_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(program, "build", broken)
    monkeypatch.delenv("MAAS_DEBUG", raising=False)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "KeyError: 'surprise'" in told
    assert "Traceback" not in told
    monkeypatch.setenv("MAAS_DEBUG", "1")
    with pytest.raises(KeyError):
        program.main()


def test_help_names_every_command(maas: Maas):
    """`maas --help` lists each group and command."""
    shown = maas("--help").stdout
    assert [name for name in COMMANDS if f" {name} " not in shown] == []


@pytest.mark.parametrize("command", ["nlp", "vision", "speech", "preprocess", "graph", "models"])
def test_a_call_imports_nothing_heavy(command: str):
    """A command that calls a service starts without loading what only others need."""
    code = (
        "import sys; from services.cli.app import build; "
        f"build(['{command}']); print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
