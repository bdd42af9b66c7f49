"""What is done with sound while it comes: samples, pieces of speech, cleaner sound."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import Models
from services.mesh.ports import AudioFormat, Inference, SoundEvent
from services.preprocessing.pipelines.sound import denoise, detect, speech
from services.preprocessing.pipelines.sound.denoise import DenoiseEvent, Denoiser
from services.preprocessing.pipelines.sound.detect import DetectEvent
from services.preprocessing.pipelines.sound.segments import Detection
from services.preprocessing.pipelines.sound.speech import SpeechMeter
from services.preprocessing.pipelines.sound.stream import SoundStreamer

_FIELD = "content"


class Sounds:
    """Streams of sound through the models that are there.

    Every method raises InvalidArgument naming the field, Exhausted, DeadlineExceeded, and what the chunks raise; where
    a model is needed, also NotFound, Unavailable and Unimplemented. Closing what it gives ends the work.
    """

    def __init__(self, streamer: SoundStreamer, inference: Inference, models: Models) -> None:
        self._streamer = streamer
        self._inference = inference
        self._models = models

    def stream(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        *,
        sample_rate_hertz: int,
        measure_speech: bool,
        field: str,
        deadline: Deadline,
    ) -> AsyncGenerator[SoundEvent, None]:
        """Samples; see services.mesh.ports.Preprocessor.stream_audio."""
        if measure_speech and sample_rate_hertz != speech.SAMPLE_RATE_HERTZ:
            raise errors.InvalidArgument.field(
                "config.measure_speech", f"needs a sample_rate_hertz of {speech.SAMPLE_RATE_HERTZ}"
            )
        return self._streamer.stream(
            chunks,
            audio_format,
            sample_rate_hertz=sample_rate_hertz,
            meter=self._meter("")[0] if measure_speech else None,
            field=field,
            deadline=deadline,
        )

    async def detect(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        wanted: Detection,
        *,
        model: str,
        deadline: Deadline,
    ) -> AsyncGenerator[DetectEvent, None]:
        """Pieces of speech, and when each begins. model: "" for the default."""
        detect.check(wanted)
        meter, name = self._meter(model)
        events = self._streamer.stream(
            chunks,
            audio_format,
            sample_rate_hertz=speech.SAMPLE_RATE_HERTZ,
            meter=meter,
            field=_FIELD,
            deadline=deadline,
        )
        async with aclosing(events), aclosing(detect.detect(events, wanted, name)) as found:
            async for event in found:
                yield event

    async def denoise(
        self, chunks: AsyncIterator[bytes], audio_format: AudioFormat, *, model: str, deadline: Deadline
    ) -> AsyncGenerator[DenoiseEvent, None]:
        """The same sound with less noise. model: "" for the default."""
        denoiser = Denoiser(self._inference, self._models.pick(denoise.TASK, model).name)
        events = self._streamer.stream(
            chunks,
            audio_format,
            sample_rate_hertz=denoise.SAMPLE_RATE_HERTZ,
            meter=None,
            field=_FIELD,
            deadline=deadline,
        )
        async with aclosing(events), aclosing(denoise.denoise(events, denoiser, deadline)) as cleaned:
            async for event in cleaned:
                yield event

    def _meter(self, model: str) -> tuple[SpeechMeter, str]:
        """What measures one stream, and the name of its model."""
        name = self._models.pick(speech.TASK, model).name
        return SpeechMeter(self._inference, name), name
