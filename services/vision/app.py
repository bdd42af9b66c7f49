"""The composition root: which adapters the pipelines get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.vision.v1 import vision_pb2_grpc
from services.mesh.backends import open_backends
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.server import Servicer
from services.preprocessing.access import open_preprocessor
from services.vision.pipelines.classify import ImageClassifier
from services.vision.pipelines.detect import ObjectDetector
from services.vision.servicer import VisionServicer
from services.vision.settings import Settings

SERVICE = "maas.vision.v1.VisionService"
TASKS = ("image-classification", "object-detection")


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its connections to Triton and preprocessing."""
    async with open_backends(settings, open_preprocessor(settings), TASKS) as backends:
        yield [servicer(*backends)]


def servicer(inference: Inference, preprocessor: Preprocessor, models: Models) -> Servicer:
    """The service on any adapters."""
    implementation = VisionServicer(
        ImageClassifier(inference, preprocessor), ObjectDetector(inference, preprocessor), models
    )
    return Servicer(SERVICE, vision_pb2_grpc.add_VisionServiceServicer_to_server, implementation, models.ready)
