"""The tracing UI is pinned, and comes from whatever registry npm is set up for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.local import tracing_ui

SOURCE = Path(tracing_ui.__file__).parent / "tracing-ui"


def test_the_lock_file_names_checksums_and_no_host() -> None:
    """Every package has its checksum, and none the address of a registry."""
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    wanted = {name: entry for name, entry in packages.items() if name}
    assert all("integrity" in entry and "resolved" not in entry for entry in wanted.values())
    assert wanted["node_modules/autotel-devtools"]["version"] == "27.1.0"


def test_it_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second build takes it from the cache."""
    fetched = []

    def fetch(directory: Path) -> None:
        fetched.append(directory)
        program = tracing_ui.tracing_ui_program(directory)
        program.parent.mkdir(parents=True)
        program.touch()

    monkeypatch.setattr(tracing_ui, "_npm_ci", fetch)
    for clone in ("one", "two", "two"):
        link = tracing_ui.install(tmp_path / clone, tmp_path / "cache")
        assert tracing_ui.tracing_ui_program(link).is_file()
    assert len(fetched) == 1
