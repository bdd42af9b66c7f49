"""Prometheus comes without root, and collects from every process of the mesh."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.local import prometheus, scraping
from deploy.local.processes import SERVICES, processes
from deploy.local.settings import LocalSettings
from deploy.models.fetch import FetchError


def fill(directory: Path) -> None:
    """What unpacking leaves."""
    for name in ("prometheus", "promtool"):
        path = directory / "usr" / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (directory / "usr" / "share" / "prometheus" / "web").mkdir(parents=True)


def test_it_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second clone takes it from the cache, and one whose cache has gone fetches it again."""
    unpacked = []
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(prometheus, "_unpack", lambda directory: (unpacked.append(directory), fill(directory)))
    for clone in ("one", "two", "two"):
        found = prometheus.install(tmp_path / clone, tmp_path / "cache")
        assert found.web
    assert len(unpacked) == 1
    shutil.rmtree(tmp_path / "cache")
    assert prometheus.install(tmp_path / "one", tmp_path / "cache").promtool.is_file()
    assert len(unpacked) == 2


def test_the_one_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched where an operator has it already; it knows where its own pages are."""
    fill(tmp_path / "system")
    monkeypatch.setenv("PATH", str(tmp_path / "system" / "usr" / "bin"))
    for program in (tmp_path / "system" / "usr" / "bin").iterdir():
        program.chmod(0o755)
    found = prometheus.install(tmp_path / "build", tmp_path / "cache")
    assert found.prometheus.resolve() == tmp_path / "system" / "usr" / "bin" / "prometheus"
    assert found.web is None


def test_a_machine_without_packages_is_told_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence says that it is left out and why; make goes on."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("MAAS_BUILD_DIRECTORY", str(tmp_path / "build"))
    monkeypatch.setenv("MAAS_CACHE_DIR", str(tmp_path / "cache"))
    assert prometheus.main() == 0
    assert "left out, the mesh runs without it: this machine has no Debian packages" in capsys.readouterr().err
    with pytest.raises(FetchError):
        prometheus.install(tmp_path / "build", tmp_path / "cache")


def test_every_process_is_collected_from(tmp_path: Path) -> None:
    """The jobs are the processes; each has the port on which it tells its metrics."""
    settings = LocalSettings(port=19_000, build_directory=tmp_path, run_directory=tmp_path / "run", traces=True)
    jobs = {
        job["job_name"]: job for job in yaml.safe_load(scraping.configuration(settings, SERVICES))["scrape_configs"]
    }
    assert jobs.keys() == {"triton", "gateway", "prometheus", *SERVICES}
    assert jobs["nlp"]["static_configs"] == [{"targets": [f"127.0.0.1:{settings.ports.nlp_metrics}"]}]
    assert jobs["gateway"]["metrics_path"] == "/stats/prometheus"


def test_it_belongs_to_the_traces(tmp_path: Path) -> None:
    """It starts with the tracing UI, is bounded in time and size, and where it is missing nothing asks for it."""
    settings = LocalSettings(port=19_000, build_directory=tmp_path, run_directory=tmp_path / "run", traces=True)
    assert "prometheus" not in {process.name for process in processes(settings)}
    fill(tmp_path / "prometheus")
    table = {process.name: process for process in processes(settings)}
    assert {"--storage.tsdb.retention.time=24h", "--storage.tsdb.retention.size=512MB"} <= set(
        table["prometheus"].command
    )
    quiet = settings.model_copy(update={"traces": False})
    assert "prometheus" not in {process.name for process in processes(quiet)}


def test_promtool_accepts_the_configuration(tmp_path: Path, promtool: Path) -> None:
    """With the rules that ship."""
    settings = LocalSettings(port=19_000, run_directory=tmp_path, traces=True)
    path = scraping.configuration_file(settings)
    path.write_text(scraping.configuration(settings, SERVICES))
    done = subprocess.run([promtool, "check", "config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
