"""The composition root: the pipelines, and the threads they work in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh.server import Servicer
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.workers import Workers
from services.preprocessing.servicer import PreprocessingServicer
from services.preprocessing.settings import Settings

SERVICE = "maas.preprocessing.v1.PreprocessingService"


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its tokenizers loaded."""
    tokenizers = await asyncio.to_thread(Tokenizers.load, settings.tokenizers_directory)
    with Workers(threads=settings.threads, max_waiting=settings.max_waiting) as workers:
        yield [servicer(tokenizers, workers)]


def servicer(tokenizers: Tokenizers, workers: Workers) -> Servicer:
    """The service on any tokenizers and threads."""
    implementation = PreprocessingServicer(tokenizers, workers)
    return Servicer(SERVICE, preprocessing_pb2_grpc.add_PreprocessingServiceServicer_to_server, implementation)
