"""The composition root: which adapters the pipelines get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.backends import open_backends
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.server import Servicer
from services.nlp.pipelines.encode import TextEncoder
from services.nlp.servicer import NlpServicer
from services.nlp.settings import Settings
from services.preprocessing.access import open_preprocessor

SERVICE = "maas.nlp.v1.NlpService"
TASKS = ("sentiment-analysis", "text-embedding")


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its connections to Triton and preprocessing."""
    async with open_backends(settings, open_preprocessor(settings), TASKS) as backends:
        yield [servicer(*backends)]


def servicer(inference: Inference, preprocessor: Preprocessor, models: Models) -> Servicer:
    """The service on any adapters."""
    implementation = NlpServicer(TextEncoder(inference, preprocessor), models)
    return Servicer(SERVICE, nlp_pb2_grpc.add_NlpServiceServicer_to_server, implementation, models.ready)
