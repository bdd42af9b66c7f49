"""Preprocessing for other services, over the network or in their own process, as their settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.mesh.ports import Preprocessor
from services.mesh.preprocessing import open_preprocessing
from services.mesh.settings import IN_PROCESS, PreprocessingClientSettings


@asynccontextmanager
async def open_preprocessor(settings: PreprocessingClientSettings) -> AsyncIterator[Preprocessor]:
    """The adapter that the settings ask for, for as long as the block runs."""
    if settings.preprocessing_address == IN_PROCESS:
        # Who asks the service needs no decoder in its own memory: 20 MB, and code that strangers' bytes may break.
        from services.preprocessing.local import open_local  # noqa: PLC0415 - see above

        async with open_local(settings) as local:
            yield local
    else:
        async with open_preprocessing(settings.preprocessing_address) as remote:
            yield remote
