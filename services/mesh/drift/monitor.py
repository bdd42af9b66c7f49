"""Watches models for drift: a thread of its own, a bounded queue in front of it, and one score a measure."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.mesh.drift.measures import Measure
from services.mesh.drift.summaries import Summary, summary_of
from services.mesh.instruments import DRIFT_ITEMS, DRIFT_SCORE, MEASURE, MODEL, Values
from services.mesh.models import ModelCard
from services.mesh.ports import Array

log = structlog.get_logger()

# Calls whose tensors wait for the thread; those beyond it are not looked at. A recording of 30 seconds is 2 MB.
_MOST_WAITING = 32


@dataclass(frozen=True)
class Limits:
    """calls_per_second: of one model that are looked at. reference_items, window_items: how many make one."""

    calls_per_second: float = 20.0
    reference_items: int = 1000
    window_items: int = 1000


@dataclass
class _Watched:
    """A version of a model. score: None until a window is full."""

    card: ModelCard
    reference: dict[str, Summary] = field(default_factory=dict)
    window: dict[str, Summary] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    next_seconds: float = 0.0


class DriftMonitor:
    """Compares windows of calls with a reference, model by model and measure by measure.

    The first calls that a version answers are its reference, kept in a file when there is a directory for it: so the
    operator decides what is normal, by letting a model see it, or by putting a file there. Bounded by the models that
    Triton has.
    """

    def __init__(self, limits: Limits, directory: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        """directory: of the references; None: they are forgotten with the process."""
        self._limits = limits
        self._directory = directory
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._waiting: queue.Queue[tuple[_Watched, dict[str, Array]] | None] = queue.Queue(_MOST_WAITING)
        DRIFT_SCORE.ask(self, DriftMonitor.values)

    def learn(self, cards: Mapping[str, ModelCard]) -> None:
        """The models that there are now; those whose cards have no measures are not watched."""
        for name, card in cards.items():
            known = self._watched.get(name)
            if not card.monitor:
                self._watched.pop(name, None)
            elif known is None or known.card.version != card.version:
                self._watched[name] = _Watched(card, self._read(card))
        for name in self._watched.keys() - cards.keys():
            del self._watched[name]

    def offer(self, model: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """A call that was answered. Returns at once, whatever becomes of it."""
        watched = self._watched.get(model)
        if watched is None:
            return
        now = self._clock()
        if now < watched.next_seconds or self._waiting.full():
            return
        watched.next_seconds = now + 1 / self._limits.calls_per_second
        wanted = {each.tensor for each in watched.card.monitor}
        arrays = {name: array for name, array in {**inputs, **outputs}.items() if name in wanted}
        if arrays:
            self._waiting.put((watched, arrays))

    @contextmanager
    def running(self) -> Iterator[None]:
        """The thread, for as long as the block runs."""
        thread = threading.Thread(target=self._work, name="drift", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._waiting.put(None)
            thread.join()

    def scores(self) -> dict[tuple[str, str], float]:
        """By model and measure, of those that have a full window."""
        return {
            (name, measure): score
            for name, watched in list(self._watched.items())
            for measure, score in list(watched.scores.items())
        }

    def values(self) -> Values:
        """The same, as a metric."""
        return [(score, {MODEL: model, MEASURE: measure}) for (model, measure), score in self.scores().items()]

    def _work(self) -> None:
        while (given := self._waiting.get()) is not None:
            watched, arrays = given
            try:
                self._take(watched, arrays)
            except Exception:  # a tensor of an odd shape must not end the watching
                log.exception("a call could not be measured", model=watched.card.name)

    def _take(self, watched: _Watched, arrays: Mapping[str, Array]) -> None:
        items = 0
        for measure in watched.card.monitor:
            values = measure.take(arrays, batched=watched.card.max_batch_size > 0)
            if values is not None:
                items = max(items, len(values))
                self._add(watched, measure, values)
        if items:
            DRIFT_ITEMS.add(items, {MODEL: watched.card.name})

    def _add(self, watched: _Watched, measure: Measure, values: Array) -> None:
        name, limits = measure.name, self._limits
        reference = watched.reference.setdefault(name, summary_of(measure.of)())
        if reference.count < limits.reference_items:
            reference.add(values)
            if reference.count >= limits.reference_items:
                self._write(watched)
            return
        window = watched.window.setdefault(name, summary_of(measure.of)())
        window.add(values)
        if window.count >= limits.window_items:
            watched.scores[name] = window.shift(reference)
            del watched.window[name]

    def _path(self, card: ModelCard) -> Path | None:
        return self._directory and self._directory / f"{card.name}-{card.version}.json"

    def _read(self, card: ModelCard) -> dict[str, Summary]:
        """The reference of a file; none when there is no file, or one of other measures or of an older form."""
        path = self._path(card)
        if path is None or not path.is_file():
            return {}
        try:
            kept = json.loads(path.read_text("utf-8"))
            return {
                each.name: summary_of(each.of).from_json(kept[each.name]["summary"])
                for each in card.monitor
                if kept.get(each.name, {}).get("of") == each.of
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, LookupError, RuntimeError):
            log.warning("the drift reference cannot be read, a new one is made", model=card.name)
            return {}

    def _write(self, watched: _Watched) -> None:
        """All of it or nothing; a directory that cannot be written keeps what an operator put there."""
        path = self._path(watched.card)
        if path is None:
            return
        kept = _to_json(watched.card.monitor, watched.reference, self._limits.reference_items)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            draft.write_text(json.dumps(kept), "utf-8")
            os.replace(draft, path)  # noqa: PTH105 - the name for what cannot be seen half done
        except OSError as error:
            log.warning("the drift reference is not kept", model=watched.card.name, why=error.strerror)


def _to_json(measures: Sequence[Measure], reference: Mapping[str, Summary], least: int) -> dict[str, Any]:
    return {
        each.name: {"of": each.of, "summary": reference[each.name].to_json()}
        for each in measures
        if each.name in reference and reference[each.name].count >= least
    }
