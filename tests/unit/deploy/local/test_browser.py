"""A browser for the tests is installed where that is possible, and otherwise one sentence says what is left out."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest

from deploy.local import browser


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was run on a machine without a browser, as root; nothing really is."""
    run: list[list[str]] = []

    def record(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        run.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(browser, "find", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return run


def test_any_chromium_will_do() -> None:
    """Debian's name comes first."""
    assert browser.find({"google-chrome": "/opt/chrome", "chromium": "/usr/bin/chromium"}.get) == "/usr/bin/chromium"
    assert browser.find({"google-chrome": "/opt/chrome"}.get) == "/opt/chrome"
    assert browser.find({}.get) is None


def test_root_installs_it_and_nothing_beside_it(commands: list[list[str]]) -> None:
    """The lists of packages first, since a new machine has none; no recommended packages."""
    assert browser.main() == 0
    assert [command[2] for command in commands] == ["update", "install"]
    assert "--no-install-recommends" in commands[1]


def test_others_are_told(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without root nothing is tried, and make goes on."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert browser.main() == 0
    assert commands == []
    assert "left out: it needs a Chromium" in capsys.readouterr().out


def test_a_failed_installation_stops(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    """With what apt-get said."""
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 100, "", "E: no"))
    assert browser.main() == 1
