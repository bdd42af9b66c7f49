"""Which models there are. Triton knows: each model's configuration carries its catalog entry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
from pydantic import BaseModel, ConfigDict

from maas.type.v1 import model_pb2
from services.mesh import errors, instruments
from services.mesh.background import background
from services.mesh.drift.measures import Measure

log = structlog.get_logger()

# How often the source is asked while models are missing, so that a service is ready soon after them.
_IMPATIENT_SECONDS = 0.25


class ModelCard(BaseModel):
    """What a service knows of a model: its catalog entry.

    other_tasks: what it does beside its task, with other outputs of the same inference.
    max_batch_size: rows that one inference may have; 0 for a model without a batch dimension.
    reads_tokens_per_second: of a language model that is slow enough to count with it, otherwise None.
    monitor: what is watched of its inputs and outputs, see services.mesh.drift.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    name: str
    version: str = "1"
    max_batch_size: int = 0
    task: str
    other_tasks: tuple[str, ...] = ()
    summary: str
    default: bool = False
    languages: tuple[str, ...] = ()
    licence: str = ""
    labels: tuple[str, ...] = ()
    label_ids: tuple[str, ...] = ()
    preprocess: Mapping[str, Any] = {}
    postprocess: Mapping[str, Any] = {}
    metrics: Mapping[str, float] = {}
    language_notes: Mapping[str, str] = {}
    note: str = ""
    reads_tokens_per_second: float | None = None
    monitor: tuple[Measure, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """All that it does."""
        return (self.task, *self.other_tasks)

    def knows(self, language_code: str) -> bool:
        """Whether the model was made for a BCP-47 tag; every model knows ""."""
        return not language_code or primary_subtag(language_code) in self.languages

    def require_language(self, language_code: str, *, field: str = "language_code") -> str:
        """The model's own code for a BCP-47 tag, its first language for "".

        Raises InvalidArgument, listing those it knows.
        """
        if not language_code:
            return self.languages[0] if self.languages else ""
        if not self.knows(language_code):
            raise errors.InvalidArgument.field(
                field, f"model {self.name!r} was not made for {language_code!r}; it knows: {', '.join(self.languages)}"
            )
        return primary_subtag(language_code)

    def to_proto(self) -> model_pb2.ModelInfo:
        """As Get...Config and ListCapabilities show it."""
        return model_pb2.ModelInfo(
            name=self.name,
            version=self.version,
            task=self.task,
            summary=self.summary,
            default=self.default,
            language_codes=self.languages,
            licence=self.licence,
            metrics=self.metrics,
            voices=self.preprocess.get("voices", ()),
            language_notes=self.language_notes,
            note=self.note,
            other_tasks=self.other_tasks,
        )


def primary_subtag(language_code: str) -> str:
    """The language of a BCP-47 tag without script and region: "zh" of "zh-Hans-CN"."""
    return language_code.lower().replace("_", "-").partition("-")[0]


class ModelSource(Protocol):
    """Where models are listed."""

    async def list_models(self, known: Mapping[str, ModelCard]) -> tuple[dict[str, ModelCard], set[str]]:
        """The cards of all models that have one, and the names of those that are ready.

        known: cards from an earlier call; they are not fetched again.
        Raises MeshError when the source is unreachable.
        """
        ...


class Models:
    """The models of one service, kept up to date from a source.

    Bounded by what Triton holds. When the source is unreachable, the last known cards stay, and none counts as ready.
    """

    def __init__(
        self, source: ModelSource, tasks: Sequence[str], *, optional_tasks: Sequence[str] = (), poll_seconds: float
    ) -> None:
        """What the service is for.

        tasks: it is ready when each of them has a model that is. optional_tasks: those that it can also do, when there
        is a model; a machine may be too small for it, and one that fails must not take the rest along.
        """
        self._source = source
        self._tasks = frozenset(tasks)
        self._optional_tasks = frozenset(optional_tasks)
        self._poll_seconds = poll_seconds
        self._cards: dict[str, ModelCard] = {}
        self._ready: set[str] = set()
        self._reachable = False
        instruments.MODEL_READY.ask(self, Models.readiness)

    async def watch(self) -> None:
        """Refresh for ever; run it as a task."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._poll_seconds if self.ready() else min(self._poll_seconds, _IMPATIENT_SECONDS))

    async def refresh(self) -> None:
        """Ask the source once. Never raises MeshError: an unreachable source means that nothing is ready."""
        was_ready = self.ready()
        try:
            cards, ready = await self._source.list_models(self._cards)
        except errors.MeshError as error:
            self._ready = set()
            self._reachable = False
            if was_ready:
                log.warning("models are not ready", reason=error.reason)
            return
        self._reachable = True
        known = self._tasks | self._optional_tasks
        before, self._cards = self._cards, {name: card for name, card in cards.items() if known & set(card.tasks)}
        _tell_changes(before, self._cards)
        self._ready = ready & self._cards.keys()
        if self.ready() and not was_ready:
            log.info("models are ready", models=sorted(self._ready))

    def readiness(self) -> instruments.Values:
        """1 for each model that is ready, 0 for one that is not; any thread may ask."""
        ready = self._ready
        return [(float(name in ready), {instruments.MODEL: name}) for name in self._cards]

    def ready(self) -> bool:
        """Whether each task that is not optional has a model that is ready."""
        return self._tasks <= {task for name in self._ready for task in self._cards[name].tasks}

    def listing(self, task: str = "") -> list[ModelCard]:
        """The models that are ready, of one task or of all, by task and name."""
        ready = (self._cards[name] for name in self._ready)
        return sorted(
            (card for card in ready if not task or task in card.tasks), key=lambda card: (card.task, card.name)
        )

    def pick(self, task: str, name: str, *, language_code: str = "", field: str = "model") -> ModelCard:
        """The model of that name; for "" the task's default, if there are several that of the language.

        Raises NotFound, listing those that exist; Unavailable while nothing is known yet or the model is not ready; and
        Unimplemented when the task is optional and has no model here.
        """
        cards = {card.name: card for card in self._cards.values() if task in card.tasks}
        if not cards and self._reachable and task in self._optional_tasks:
            raise errors.Unimplemented(f"no model for {task} is deployed here", metadata={"task": task})
        if name and cards and name not in cards:
            raise errors.NotFound.named(field, name, list(cards))
        card = cards.get(name) or _default(cards.values(), language_code)
        if card is None or card.name not in self._ready:
            raise errors.Unavailable(
                f"the model for {task} is loading" if card is None else f"model {card.name!r} is loading",
                reason="MODEL_LOADING",
                metadata={"task": task} if card is None else {"model": card.name},
                retry_after_seconds=self._poll_seconds,
            )
        return card


def _default(cards: Iterable[ModelCard], language_code: str) -> ModelCard | None:
    """Of the cards that know the language, else of all, the one marked as default, or the first by name."""
    return min(cards, key=lambda card: (not card.knows(language_code), not card.default, card.name), default=None)


def _tell_changes(before: Mapping[str, ModelCard], after: Mapping[str, ModelCard]) -> None:
    """Count the models that came, went, or have another version; and log it, but for those that were there first."""
    for change, names in (
        ("appeared", after.keys() - before.keys()),
        ("disappeared", before.keys() - after.keys()),
        ("changed", {name for name in before.keys() & after.keys() if before[name].version != after[name].version}),
    ):
        for name in sorted(names):
            instruments.MODEL_CHANGES.add(1, {instruments.MODEL: name, instruments.CHANGE: change})
            if before:
                version = (after.get(name) or before[name]).version
                log.info("a model is not what it was", model=name, change=change, version=version)


@asynccontextmanager
async def watching(models: Models) -> AsyncIterator[Models]:
    """Keep the models up to date for as long as the block runs."""
    async with background(models.watch()):
        yield models
