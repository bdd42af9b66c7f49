"""The pipelines of one process, and what keeps that process safe from the files that they open."""

from __future__ import annotations

import asyncio
import resource
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from services.mesh import instruments
from services.mesh.backends import ModelServer
from services.mesh.settings import PreprocessingSettings
from services.preprocessing.pipelines.fetch.fetcher import Fetcher, open_fetcher
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.languages import TASK, LanguageIdentifier
from services.preprocessing.pipelines.sound import denoise, speech
from services.preprocessing.pipelines.sound.sounds import Sounds
from services.preprocessing.pipelines.sound.stream import SoundStreamer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.video.extract import FrameExtractor
from services.preprocessing.pipelines.workers import Workers


@asynccontextmanager
async def open_pipelines(settings: PreprocessingSettings, server: ModelServer) -> AsyncIterator[InputPipelines]:
    """The pipelines with their tokenizers loaded; at the end of the block, work that has begun is waited for.

    server: runs the models that are themselves preprocessing.
    """
    tokenizers = await asyncio.to_thread(Tokenizers.load, settings.tokenizers_directory)
    with (
        _guarded(settings.max_memory_bytes),
        Workers(threads=settings.threads, max_waiting=settings.max_waiting) as workers,
        FrameExtractor(
            max_videos=settings.max_videos,
            max_spooled_bytes=settings.max_spooled_bytes,
        ) as extractor,
        SoundStreamer(max_streams=settings.max_audio_streams) as streamer,
    ):
        instruments.QUEUE_WAITING.ask(
            workers, lambda workers: [(workers.waiting, {instruments.QUEUE: "preprocessing"})]
        )
        async with (
            server.watching([TASK], [speech.TASK, denoise.TASK]) as models,
            _fetcher(settings) as fetcher,
        ):
            identifier = LanguageIdentifier(server.inference, models)
            sounds = Sounds(streamer, server.inference, models)
            yield InputPipelines(tokenizers, workers, identifier, fetcher, extractor=extractor, sounds=sounds)


def _fetcher(settings: PreprocessingSettings) -> AbstractAsyncContextManager[Fetcher]:
    return open_fetcher(
        settings.media_sources,
        private_networks=settings.media_private_networks,
        seconds=settings.media_seconds,
        max_at_once=settings.max_media_at_once,
    )


@contextmanager
def _guarded(max_memory_bytes: int) -> Iterator[None]:
    """Limits of the whole process for as long as the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = max_memory_bytes if hard == resource.RLIM_INFINITY else min(max_memory_bytes, hard)
    with warnings.catch_warnings():
        # Pillow warns of oddities in files; Python remembers each different text for ever, and strangers choose them.
        warnings.filterwarnings("ignore", module="PIL")
        # The decoders are C libraries: a file that makes one ask for more gets an error, the machine keeps its memory.
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
