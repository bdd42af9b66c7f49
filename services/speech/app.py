"""The composition root: which adapters the pipelines get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from maas.speech.v1 import speech_pb2_grpc
from services.mesh import instruments
from services.mesh.backends import open_backends
from services.mesh.models import Models
from services.mesh.ports import Inference, Preprocessor
from services.mesh.server import Servicer
from services.preprocessing.access import open_preprocessor
from services.speech.pipelines.commands.recognizer import CommandRecognizer
from services.speech.pipelines.live.recognizer import LiveRecognizer
from services.speech.pipelines.recognition.recordings import RecordingRecognizer
from services.speech.pipelines.recognition.transcriber import Transcriber
from services.speech.pipelines.schedule import Schedule
from services.speech.pipelines.speakers.encoder import SpeakerEncoder
from services.speech.pipelines.synthesis.synthesizer import Synthesizer
from services.speech.servicer import SpeechServicer
from services.speech.settings import Settings

SERVICE = "maas.speech.v1.SpeechService"
TASKS = ("speech-recognition", "speech-synthesis")
OPTIONAL_TASKS = ("command-recognition", "speaker-embedding", "wake-word-detection")


@asynccontextmanager
async def app(settings: Settings) -> AsyncIterator[Sequence[Servicer]]:
    """The service with its connections to Triton and preprocessing."""
    async with open_backends(settings, open_preprocessor(settings), TASKS, OPTIONAL_TASKS) as backends:
        yield [
            servicer(*backends, recognizers=settings.recognitions_at_once, max_live_streams=settings.max_live_streams)
        ]


def servicer(
    inference: Inference,
    preprocessor: Preprocessor,
    models: Models,
    *,
    recognizers: int = 1,
    max_live_streams: int = 16,
) -> Servicer:
    """The service on any adapters. recognizers: readings of live speech at once. max_live_streams: more are refused."""
    transcriber = Transcriber(inference)
    schedule = Schedule(recognizers)
    instruments.QUEUE_WAITING.ask(schedule, lambda schedule: [(schedule.waiting, {instruments.QUEUE: "speech"})])
    live = LiveRecognizer(transcriber, preprocessor, schedule, max_live_streams=max_live_streams)
    commands = CommandRecognizer(inference)

    def drain() -> None:
        live.drain()
        commands.drain()

    implementation = SpeechServicer(
        models,
        preprocessor,
        recordings=RecordingRecognizer(transcriber, preprocessor, schedule),
        live=live,
        synthesizer=Synthesizer(inference, preprocessor),
        commands=commands,
        speakers=SpeakerEncoder(inference, preprocessor),
    )
    return Servicer(
        SERVICE,
        speech_pb2_grpc.add_SpeechServiceServicer_to_server,
        implementation,
        models.ready,
        drain=drain,
    )
