"""The RPCs for sound while it is being sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Literal

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh.audio import spoken
from services.mesh.call import Context
from services.mesh.durations import seconds_within, to_duration
from services.mesh.ports import SoundEvent, SoundPiece
from services.mesh.request import request_id
from services.mesh.server import budget
from services.mesh.sound import format_from_proto
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.pipelines.sound.denoise import SAMPLE_RATE_HERTZ, Cleaned, DenoiseEvent
from services.preprocessing.pipelines.sound.detect import DetectEvent
from services.preprocessing.pipelines.sound.segments import Detection, Speech, SpeechStart
from services.preprocessing.rpc.streams import LONGEST_SECONDS, chunks_of, config_of

_FORMAT = "config.format"


class SoundRpcs(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    """Sound to samples, to pieces of speech, and to cleaner sound."""

    _pipelines: InputPipelines

    async def StreamingConvertAudio(
        self, request_iterator: AsyncIterator[pb.StreamingConvertAudioRequest], context: Context
    ) -> AsyncIterator[pb.StreamingConvertAudioResponse]:
        """Sound to samples, while it comes."""
        config = await config_of(request_iterator)
        echo = request_id(config)
        events = self._pipelines.stream_audio(
            chunks_of(request_iterator),
            format_from_proto(_FORMAT, config.format),
            sample_rate_hertz=config.sample_rate_hertz,
            measure_speech=config.measure_speech,
            field="content",
            deadline=budget(context, default_seconds=LONGEST_SECONDS),
        )
        async with aclosing(events):
            async for event in events:
                yield _converted(event, echo)

    async def DetectSpeech(
        self, request_iterator: AsyncIterator[pb.DetectSpeechRequest], context: Context
    ) -> AsyncIterator[pb.DetectSpeechResponse]:
        """Sound to pieces of speech, while it comes."""
        config = await config_of(request_iterator)
        echo = request_id(config)
        events = self._pipelines.detect_speech(
            chunks_of(request_iterator),
            format_from_proto(_FORMAT, config.format),
            _detection(config),
            model=config.model,
            deadline=budget(context, default_seconds=LONGEST_SECONDS),
        )
        async with aclosing(events):
            async for event in events:
                yield _detected(event, echo)

    async def DenoiseAudio(
        self, request_iterator: AsyncIterator[pb.DenoiseAudioRequest], context: Context
    ) -> AsyncIterator[pb.DenoiseAudioResponse]:
        """Sound to cleaner sound, while it comes."""
        config = await config_of(request_iterator)
        echo = request_id(config)
        events = self._pipelines.denoise_audio(
            chunks_of(request_iterator),
            format_from_proto(_FORMAT, config.format),
            model=config.model,
            deadline=budget(context, default_seconds=LONGEST_SECONDS),
        )
        async with aclosing(events):
            async for event in events:
                yield _denoised(event, echo)


def _detection(config: pb.DetectSpeechConfig) -> Detection:
    default = Detection()

    def seconds(name: Literal["min_silence", "min_speech", "padding"], usual: float, low: float, high: float) -> float:
        given = getattr(config, name) if config.HasField(name) else None
        return seconds_within(f"config.{name}", given, default=usual, low=low, high=high)

    return Detection(
        threshold=config.threshold or default.threshold,
        min_silence_seconds=seconds("min_silence", default.min_silence_seconds, 0.032, 10),
        min_speech_seconds=seconds("min_speech", default.min_speech_seconds, 0, 10),
        padding_seconds=seconds("padding", default.padding_seconds, 0, 1),
    )


def _converted(event: SoundEvent, request_id: str) -> pb.StreamingConvertAudioResponse:
    if isinstance(event, SoundPiece):
        piece = pb.AudioPiece(
            content=event.samples.astype("<f4", copy=False).tobytes(),
            offset=to_duration(event.offset_seconds),
            speech_probabilities=event.speech.tolist(),
            bytes_received=event.bytes_received,
        )
        return pb.StreamingConvertAudioResponse(piece=piece)
    end = pb.AudioEnd(
        duration=to_duration(event.duration_seconds),
        source_sample_rate_hertz=event.source_sample_rate_hertz,
        source_channels=event.source_channels,
        source_codec=event.source_codec,
        request_id=request_id,
        damaged=event.damaged,
    )
    return pb.StreamingConvertAudioResponse(end=end)


def _detected(event: DetectEvent, request_id: str) -> pb.DetectSpeechResponse:
    match event:
        case SpeechStart():
            return pb.DetectSpeechResponse(speech_start=to_duration(event.offset_seconds))
        case Speech():
            speech = pb.SpeechInterval(
                start_offset=to_duration(event.start_seconds),
                end_offset=to_duration(event.end_seconds),
                confidence=event.confidence,
            )
            return pb.DetectSpeechResponse(speech=speech)
        case _:
            end = pb.DetectSpeechEnd(
                duration=to_duration(event.duration_seconds),
                speech_duration=to_duration(event.speech_seconds),
                model=event.model,
                request_id=request_id,
            )
            return pb.DetectSpeechResponse(end=end)


def _denoised(event: DenoiseEvent, request_id: str) -> pb.DenoiseAudioResponse:
    if isinstance(event, Cleaned):
        spoken(len(event.samples) / SAMPLE_RATE_HERTZ)
        return pb.DenoiseAudioResponse(content=event.samples.astype("<i2", copy=False).tobytes())
    end = pb.DenoiseAudioEnd(
        duration=to_duration(event.duration_seconds),
        sample_rate_hertz=SAMPLE_RATE_HERTZ,
        model=event.model,
        request_id=request_id,
    )
    return pb.DenoiseAudioResponse(end=end)
