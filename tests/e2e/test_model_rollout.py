"""`maas models rollout` on two real Tritons under load: no call is lost, whichever way it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Self

import pytest

from tests.e2e.running_guard import CODE, RunningGuard

WORSE = CODE.replace(
    "def execute(self, requests):", "def execute(self, requests):\n        import time; time.sleep(0.05)"
)
BETTER = CODE.replace("2 * value + 1", "2 * value + 2")
BROKEN = "import no_such_module"


@pytest.fixture
def tritons(tmp_path: Path) -> Iterator[list[RunningGuard]]:
    """Two Tritons, each with a repository of its own in which `twin` has a version 1."""
    running = [RunningGuard(tmp_path / name) for name in ("one", "two")]
    try:
        for each in running:
            each.wait_until(each.answers, "both models compute")
        yield running
    finally:
        for each in running:
            each.process.terminate()
        for each in running:
            each.process.wait(30)


def add_version(tritons: list[RunningGuard], code: str) -> None:
    """A folder 2 beside 1, which no Triton loads by itself."""
    for each in tritons:
        folder = Path(each.settings["TRITON_MODEL_REPOSITORY"]) / "twin" / "2"
        folder.mkdir()
        (folder / "model.py").write_text(code)


def roll(tritons: list[RunningGuard], directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command, as fast as it may be sure of."""
    addresses = [option for each in tritons for option in ("--triton", f"127.0.0.1:{each.ports[1]}")]
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "models", "rollout", "twin", *arguments, *addresses],
        env=os.environ | {"MAAS_RUN_DIRECTORY": str(directory), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


class Load:
    """Calls to each Triton, one after another, for as long as the block runs; what was answered, by Triton."""

    def __init__(self, tritons: list[RunningGuard]) -> None:
        self.answers = [Counter[int | None]() for _ in tritons]
        self._end = Event()
        self._threads = [Thread(target=self._call, args=pair) for pair in zip(tritons, self.answers, strict=True)]

    def _call(self, triton: RunningGuard, answers: Counter[int | None]) -> None:
        while not self._end.is_set():
            answers[triton.ask("twin", 20)] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


LIMITS = ("--min-calls", "20", "--min-seconds", "1")


def test_a_better_version_takes_over_and_one_that_is_slow_or_broken_goes_back(
    tritons: list[RunningGuard], tmp_path: Path
) -> None:
    """Each Triton answers every call throughout: by the old version, and after the promotion by the new one."""
    with Load(tritons) as load:
        add_version(tritons, WORSE)
        slow = roll(tritons, tmp_path, "2", *LIMITS)
        for each in tritons:
            (Path(each.settings["TRITON_MODEL_REPOSITORY"]) / "twin" / "2" / "model.py").write_text(BROKEN)
        broken = roll(tritons, tmp_path, "2", *LIMITS)
    assert (slow.returncode, broken.returncode) == (1, 1), (slow.stdout, slow.stderr, broken.stdout, broken.stderr)
    assert "rolled back: a call takes" in slow.stdout
    assert "rolled back: 127.0.0.1" in broken.stdout
    assert [set(answers) for answers in load.answers] == [{41}, {41}], load.answers
    with Load(tritons) as load:
        for each in tritons:
            (Path(each.settings["TRITON_MODEL_REPOSITORY"]) / "twin" / "2" / "model.py").write_text(BETTER)
        better = roll(tritons, tmp_path, "2", *LIMITS)
        back = roll(tritons, tmp_path, "--back")
    assert (better.returncode, back.returncode) == (0, 0), (better.stdout, better.stderr, back.stdout, back.stderr)
    assert better.stdout.splitlines()[-1].startswith("promoted: ")
    assert [set(answers) for answers in load.answers] == [{41, 42}, {41, 42}], load.answers
    assert [each.ask("twin", 20) for each in tritons] == [41, 41]
