"""The composition root: which adapters the pipelines get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.speech.v1 import speech_pb2_grpc
from services.mesh.backends import open_backends
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.server import Servicer
from services.preprocessing.access import open_preprocessor
from services.speech.pipelines.recognize import Recognizer
from services.speech.pipelines.synthesize import Synthesizer
from services.speech.servicer import SpeechServicer
from services.speech.settings import Settings

SERVICE = "maas.speech.v1.SpeechService"
TASKS = ("speech-recognition", "speech-synthesis")


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its connections to Triton and preprocessing."""
    async with open_backends(settings, open_preprocessor(settings), TASKS) as backends:
        yield [servicer(*backends)]


def servicer(inference: Inference, preprocessor: Preprocessor, models: Models) -> Servicer:
    """The service on any adapters."""
    implementation = SpeechServicer(Recognizer(inference, preprocessor), Synthesizer(inference), preprocessor, models)
    return Servicer(SERVICE, speech_pb2_grpc.add_SpeechServiceServicer_to_server, implementation, models.ready)
