"""The composition root: the pipelines behind gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh.server import Servicer
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.process import open_pipelines
from services.preprocessing.servicer import PreprocessingServicer
from services.preprocessing.settings import Settings

SERVICE = "maas.preprocessing.v1.PreprocessingService"


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its tokenizers loaded."""
    async with open_pipelines(settings) as pipelines:
        yield [servicer(pipelines)]


def servicer(pipelines: InputPipelines) -> Servicer:
    """The service on any tokenizers and threads."""
    implementation = PreprocessingServicer(pipelines)
    return Servicer(SERVICE, preprocessing_pb2_grpc.add_PreprocessingServiceServicer_to_server, implementation)
