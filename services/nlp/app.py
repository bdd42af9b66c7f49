"""The composition root: which adapters the pipelines get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.backends import open_backends
from services.mesh.cache import AnswerCache
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.server import Servicer
from services.nlp.pipelines.analysis.analysis import Analysis
from services.nlp.pipelines.cache import size_of
from services.nlp.pipelines.translation.translate import Translator
from services.nlp.pipelines.writing import Writing
from services.nlp.servicer import NlpServicer
from services.nlp.settings import Settings
from services.preprocessing.access import open_preprocessor

SERVICE = "maas.nlp.v1.NlpService"
TASKS = ("sentiment-analysis", "text-embedding")
OPTIONAL_TASKS = ("entity-recognition", "text-classification", "text-generation", "translation")


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its connections to Triton and preprocessing."""
    async with open_backends(settings, open_preprocessor(settings), TASKS, OPTIONAL_TASKS) as backends:
        yield [servicer(*backends, cache_bytes=settings.cache_bytes, generations_at_once=settings.generations_at_once)]


def servicer(
    inference: Inference,
    preprocessor: Preprocessor,
    models: Models,
    *,
    cache_bytes: int = 0,
    generations_at_once: int = 1,
) -> Servicer:
    """The service on any adapters; the numbers are those of the settings."""
    cache = AnswerCache("nlp", cache_bytes, size_of)
    analysis = Analysis.over(inference, preprocessor, models, cache)
    implementation = NlpServicer(
        analysis,
        Translator(inference, preprocessor, models, generations_at_once=generations_at_once),
        Writing.over(inference, preprocessor, analysis),
        generations_at_once=generations_at_once,
    )
    return Servicer(SERVICE, nlp_pb2_grpc.add_NlpServiceServicer_to_server, implementation, models.ready)
