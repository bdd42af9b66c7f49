"""Watching models while they run."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from services.mesh.deadline import Deadline
from services.mesh.drift.inference import WatchedInference
from services.mesh.drift.measures import Measure
from services.mesh.drift.monitor import DriftMonitor, Limits
from services.mesh.models import ModelCard
from services.mesh.ports import Array
from services.mesh.testing import FakeInference

ALL = Limits(calls_per_second=1e9, reference_items=100, window_items=50)
RANDOM = np.random.default_rng(7)


def card(version: str = "1", *measures: Measure) -> ModelCard:
    watched = measures or (
        Measure(name="confidence", tensor="scores", of="maximum"),
        Measure(name="class", tensor="scores", of="class"),
    )
    return ModelCard(name="judge", version=version, task="x", summary="", max_batch_size=8, monitor=watched)


def scores(sure: float, count: int = 10) -> Array:
    """Scores of two classes: the first one's is `sure`, give or take."""
    first = np.clip(RANDOM.normal(sure, 0.05, count), 0, 1)
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def see(monitor: DriftMonitor, sure: float, calls: int) -> None:
    """Offer calls and wait until they were taken."""
    for _ in range(calls):  # fewer than the queue takes
        monitor.offer("judge", {}, {"scores": scores(sure)})
    with monitor.running():
        pass


def test_a_model_that_stays_as_it_was():
    """The first items are the reference; a window like them has a score near nothing."""
    monitor = DriftMonitor(ALL, None)
    monitor.learn({"judge": card()})
    see(monitor, 0.8, 10)
    assert monitor.scores() == {}
    see(monitor, 0.8, 5)
    found = monitor.scores()
    assert found.keys() == {("judge", "confidence"), ("judge", "class")}
    assert found["judge", "class"] == pytest.approx(0)


def test_a_model_that_drifts():
    """A window of other answers has a score that counts as a change, and a window as before takes it back."""
    monitor = DriftMonitor(ALL, None)
    monitor.learn({"judge": card()})
    see(monitor, 0.8, 10)
    see(monitor, 0.3, 5)
    found = monitor.scores()
    assert found["judge", "confidence"] > 0.25
    assert found["judge", "class"] > 0.25
    see(monitor, 0.8, 5)
    assert monitor.scores()["judge", "class"] == pytest.approx(0)


def test_another_version_begins_anew():
    """A new version of a model has no scores until it has a reference and a window of its own."""
    monitor = DriftMonitor(ALL, None)
    monitor.learn({"judge": card("1")})
    see(monitor, 0.8, 15)
    monitor.learn({"judge": card("1")})
    assert monitor.scores()
    monitor.learn({"judge": card("2")})
    assert not monitor.scores()


def test_models_that_go():
    """A model that Triton has no more is not watched any more."""
    monitor = DriftMonitor(ALL, None)
    monitor.learn({"judge": card()})
    see(monitor, 0.8, 15)
    monitor.learn({})
    assert not monitor.scores()


def test_references_are_kept(tmp_path: Path):
    """A process that starts anew goes on with the reference of the one before."""
    first = DriftMonitor(ALL, tmp_path)
    first.learn({"judge": card()})
    see(first, 0.8, 10)
    assert [file.name for file in tmp_path.iterdir()] == ["judge-1.json"]
    second = DriftMonitor(ALL, tmp_path)
    second.learn({"judge": card()})
    see(second, 0.3, 5)
    assert second.scores()["judge", "confidence"] > 0.25


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"confidence": 1}', '{"confidence": {"of": "maximum", "summary": {"sketch": "AAAA"}}}']
)
def test_references_that_cannot_be_read(tmp_path: Path, content: str):
    """A file that is damaged, or of another form, is made anew."""
    (tmp_path / "judge-1.json").write_text(content)
    monitor = DriftMonitor(ALL, tmp_path)
    monitor.learn({"judge": card()})
    see(monitor, 0.8, 15)
    assert monitor.scores()
    assert json.loads((tmp_path / "judge-1.json").read_text()).keys() == {"confidence", "class"}


def test_a_directory_that_cannot_be_written(tmp_path: Path):
    """Without a place for the reference the model is watched all the same."""
    (tmp_path / "file").write_text("")
    monitor = DriftMonitor(ALL, tmp_path / "file")
    monitor.learn({"judge": card()})
    see(monitor, 0.8, 15)
    assert monitor.scores()


def test_only_so_many_calls_a_second():
    """Calls beyond the rate are not looked at."""
    now = [100.0]
    monitor = DriftMonitor(Limits(calls_per_second=10), None, clock=lambda: now[0])
    monitor.learn({"judge": card()})
    for _ in range(5):
        monitor.offer("judge", {}, {"scores": scores(0.8)})
    assert monitor._waiting.qsize() == 1
    now[0] += 0.1
    monitor.offer("judge", {}, {"scores": scores(0.8)})
    assert monitor._waiting.qsize() == 2


def test_a_thread_that_is_busy_delays_nobody():
    """When the queue is full a call is not looked at, and is not kept waiting."""
    monitor = DriftMonitor(ALL, None)
    monitor.learn({"judge": card()})
    for _ in range(100):
        monitor.offer("judge", {}, {"scores": scores(0.8)})
    assert monitor._waiting.full()


def test_a_tensor_that_cannot_be_measured():
    """A call whose tensor is not what the catalog says is left out, and the next ones count."""
    monitor = DriftMonitor(ALL, None)
    monitor.learn({"judge": card()})
    with monitor.running():
        monitor.offer("judge", {}, {"scores": np.array([[b"?"]], object)})
    see(monitor, 0.8, 15)
    assert monitor.scores()
    assert threading.active_count() < 50


async def test_inference_is_watched():
    """Calls of a watched model give what they gave, and are seen, inputs and outputs; other models are not."""
    monitor = DriftMonitor(ALL, None)

    class Triton(FakeInference):
        async def list_models(self, known: Mapping[str, ModelCard]) -> tuple[dict[str, ModelCard], set[str]]:
            length = Measure(name="length", tensor="text", of="length")
            return {"judge": card("1", length), "other": card().model_copy(update={"monitor": ()})}, {"judge"}

    inner = Triton(answer=lambda *_: {"scores": scores(0.8)})
    watched = WatchedInference(inner, monitor)
    _, ready = await watched.list_models({})
    assert ready == {"judge"}
    for model in ("judge", "other"):
        answer = await watched.infer(
            model, {"text": np.zeros((4, 7), np.int64)}, ["scores"], deadline=Deadline.after(5)
        )
        assert answer.keys() == {"scores"}
    assert monitor._waiting.qsize() == 1
    with monitor.running():
        pass
    assert monitor._watched["judge"].reference["length"].count == 4
