"""The composition root: the pipelines behind gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh.backends import open_model_server
from services.mesh.server import Servicer
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.process import open_pipelines
from services.preprocessing.servicer import PreprocessingServicer
from services.preprocessing.settings import Settings

SERVICE = "maas.preprocessing.v1.PreprocessingService"


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its tokenizers loaded and its connection to Triton."""
    async with open_model_server(settings) as server, open_pipelines(settings, server) as pipelines:
        yield [servicer(pipelines)]


def servicer(pipelines: InputPipelines) -> Servicer:
    """The service on any pipelines.

    It is ready without Triton: of its RPCs one needs a model and says so itself, and who tokenises or decodes must not
    lose this service, and with it every other, to a model of that one.
    """
    implementation = PreprocessingServicer(pipelines)
    return Servicer(SERVICE, preprocessing_pb2_grpc.add_PreprocessingServiceServicer_to_server, implementation)
