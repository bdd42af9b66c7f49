"""What the README tells people to type works as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# These two run the demo and all tests, this one among them.
NOT_HERE = "make demo\nmake test\n"


def blocks(language: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture
def run(mesh, tmp_path):
    """Run a block in a folder that looks like a clone, against the tests' own mesh."""
    (tmp_path / ".build").symlink_to(ROOT / ".build")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "README.md").symlink_to(ROOT / "README.md")
    (tmp_path / "services").symlink_to(ROOT / "services")

    def run(*command: str) -> str:
        *program, text = command
        done = subprocess.run(
            [*program, text.replace("127.0.0.1:8080", mesh.address)],
            cwd=tmp_path,
            env={**mesh.environment, "PATH": f"{sys.prefix}/bin:{mesh.environment['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_two_commands_are_there():
    """The commands that are not run here are those of the first block, and no others."""
    assert blocks("sh")[0] == NOT_HERE


@pytest.mark.parametrize("block", [pytest.param(each, id=each.split()[0]) for each in blocks("sh")[1:]])
def test_commands_work(run, block):
    """Each command of a block succeeds and says something; none prints an error in place of an answer."""
    said = run("bash", "-euo", "pipefail", "-c", block)
    assert said.strip()
    assert '"code"' not in said


@pytest.mark.parametrize(("index", "answer"), [(0, "cup"), (1, "country")], ids=["photo", "live"])
def test_the_python_examples_work(run, index, answer):
    """The first call from Python finds the cup on the photo, the live one what was said."""
    assert answer in run(sys.executable, "-c", blocks("python")[index])


def test_folders_exist():
    """Every folder that the README names is there."""
    named = re.findall(r"^\| `([^`]+)/` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(named) >= 8
    for name in named:
        braces = re.fullmatch(r"(.*)\{(.*)\}", name)
        folders = [braces[1] + each for each in braces[2].split(",")] if braces else [name]
        assert [each for each in folders if not (ROOT / each).is_dir()] == []
