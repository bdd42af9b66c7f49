"""SpeechService: decodes, delegates, encodes."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from maas.speech.v1 import speech_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from services.mesh.interceptors import Context
from services.mesh.media import media_bytes
from services.mesh.models import Models
from services.mesh.ports import Preprocessor
from services.mesh.request import request_id
from services.mesh.server import budget
from services.speech.pipelines.recognize import Recognizer, Segment, Word
from services.speech.pipelines.synthesize import Synthesizer


class SpeechServicer(speech_pb2_grpc.SpeechServiceServicer):
    """The RPCs of speech."""

    def __init__(
        self, recognizer: Recognizer, synthesizer: Synthesizer, preprocessor: Preprocessor, models: Models
    ) -> None:
        self._recognizer = recognizer
        self._synthesizer = synthesizer
        self._preprocessor = preprocessor
        self._models = models

    async def Recognize(self, request: pb.RecognizeRequest, context: Context) -> pb.RecognizeResponse:
        """What a recording says."""
        echo = request_id(request)
        card = self._models.pick("speech-recognition", request.model)
        language = card.require_language(request.language_code) if request.language_code else ""
        deadline = budget(context)
        found = await self._recognizer.recognize(
            await media_bytes("audio", request.audio, self._preprocessor, deadline),
            card,
            language=language,
            word_times=request.enable_word_time_offsets,
            deadline=deadline,
        )
        return pb.RecognizeResponse(
            transcript=found.text,
            segments=[_segment(segment) for segment in found.segments],
            language_code=found.language,
            language_confidence=found.language_probability,
            duration=_duration(found.duration),
            model=card.name,
            request_id=echo,
        )

    async def SynthesizeSpeech(
        self, request: pb.SynthesizeSpeechRequest, context: Context
    ) -> pb.SynthesizeSpeechResponse:
        """A text spoken."""
        echo = request_id(request)
        card = self._models.pick("speech-synthesis", request.model)
        card.require_language(request.language_code)
        speech = await self._synthesizer.synthesize(
            request.text,
            card,
            voice=request.voice,
            speaking_rate=request.speaking_rate,
            deadline=budget(context),
        )
        raw = request.audio_encoding == pb.AUDIO_ENCODING_LINEAR16
        return pb.SynthesizeSpeechResponse(
            audio_content=speech.to_linear16() if raw else speech.to_wav(),
            sample_rate_hertz=speech.sample_rate_hertz,
            duration=_duration(speech.duration_seconds),
            voice=speech.voice,
            model=card.name,
            request_id=echo,
        )

    async def GetSpeechConfig(self, request: pb.GetSpeechConfigRequest, context: Context) -> pb.GetSpeechConfigResponse:
        """The models that are ready."""
        return pb.GetSpeechConfigResponse(models=[card.to_proto() for card in self._models.listing()])


def _segment(segment: Segment) -> pb.SpeechSegment:
    return pb.SpeechSegment(
        transcript=segment.text,
        confidence=segment.confidence,
        start_offset=_duration(segment.start),
        end_offset=_duration(segment.end),
        words=[_word(word) for word in segment.words],
    )


def _word(word: Word) -> pb.Word:
    return pb.Word(
        word=word.word,
        confidence=word.confidence,
        start_offset=_duration(word.start),
        end_offset=_duration(word.end),
    )


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
