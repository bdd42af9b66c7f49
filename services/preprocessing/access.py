"""Preprocessing for other services, over the network or in their own process, as their settings say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from services.mesh.backends import ModelServer
from services.mesh.ports import Preprocessor
from services.mesh.preprocessing import open_preprocessing
from services.mesh.settings import IN_PROCESS, PreprocessingClientSettings

Opening = Callable[[ModelServer], AbstractAsyncContextManager[Preprocessor]]


def open_preprocessor(settings: PreprocessingClientSettings) -> Opening:
    """What opens the adapter that the settings ask for.

    It takes the connection to the models that the process has anyway: preprocessing in this process runs its own there.
    """
    if settings.preprocessing_address == IN_PROCESS:
        # Who asks the service needs no decoder in its own memory: 20 MB, and code that strangers' bytes may break.
        from services.preprocessing.local import open_local  # noqa: PLC0415 - see above

        return partial(open_local, settings)
    return lambda _: open_preprocessing(settings.preprocessing_address)
