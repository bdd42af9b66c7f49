"""What a service that runs models stands on: Triton, preprocessing, and the models that there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from services.mesh.drift.inference import WatchedInference
from services.mesh.drift.monitor import DriftMonitor, Limits
from services.mesh.models import Models, ModelSource, watching
from services.mesh.ports import Inference, Preprocessor
from services.mesh.settings import TritonSettings
from services.mesh.triton import open_triton


@dataclass(frozen=True, slots=True)
class ModelServer:
    """The one connection of a process to where its models run."""

    inference: Inference
    source: ModelSource
    poll_seconds: float

    def watching(self, tasks: Sequence[str], optional_tasks: Sequence[str] = ()) -> AbstractAsyncContextManager[Models]:
        """The models for some tasks, kept up to date for as long as the block runs; see Models."""
        return watching(Models(self.source, tasks, optional_tasks=optional_tasks, poll_seconds=self.poll_seconds))


class Backends(NamedTuple):
    """The adapters of one service."""

    inference: Inference
    preprocessor: Preprocessor
    models: Models


@asynccontextmanager
async def open_model_server(settings: TritonSettings) -> AsyncIterator[ModelServer]:
    """A connection to Triton for as long as the block runs."""
    async with open_triton(settings) as triton:
        if not settings.drift_calls_per_second:
            yield ModelServer(triton, triton, settings.triton_poll_seconds)
            return
        limits = Limits(settings.drift_calls_per_second, settings.drift_items, settings.drift_items)
        monitor = DriftMonitor(limits, settings.drift_directory)
        with monitor.running():
            watched = WatchedInference(triton, monitor)
            yield ModelServer(watched, watched, settings.triton_poll_seconds)


@asynccontextmanager
async def open_backends(
    settings: TritonSettings,
    opening: Callable[[ModelServer], AbstractAsyncContextManager[Preprocessor]],
    tasks: Sequence[str],
    optional_tasks: Sequence[str] = (),
) -> AsyncIterator[Backends]:
    """The adapters for as long as the block runs.

    opening: gives the preprocessor, which may run models of its own. tasks: those that the service needs a model for.
    optional_tasks: see Models.
    """
    async with (
        open_model_server(settings) as server,
        opening(server) as preprocessor,
        server.watching(tasks, optional_tasks) as models,
    ):
        yield Backends(server.inference, preprocessor, models)
