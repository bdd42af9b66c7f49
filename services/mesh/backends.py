"""What a service that runs models stands on: Triton, preprocessing, and the models that there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from services.mesh.models import Models, watching
from services.mesh.ports import Inference, Preprocessor
from services.mesh.settings import TritonSettings
from services.mesh.triton import open_triton


class Backends(NamedTuple):
    """The adapters of one service."""

    inference: Inference
    preprocessor: Preprocessor
    models: Models


@asynccontextmanager
async def open_backends(
    settings: TritonSettings, opening: AbstractAsyncContextManager[Preprocessor], tasks: Sequence[str]
) -> AsyncIterator[Backends]:
    """The adapters for as long as the block runs.

    opening: gives the preprocessor. tasks: those that the service needs a model for.
    """
    async with (
        open_triton(settings) as triton,
        opening as preprocessor,
        watching(Models(triton, tasks, poll_seconds=settings.triton_poll_seconds)) as models,
    ):
        yield Backends(triton, preprocessor, models)
