"""Recognize and GetSpeechConfig."""

from __future__ import annotations

from collections.abc import Mapping

from maas.speech.v1 import speech_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc, transcript_pb2
from services.mesh.call import Context
from services.mesh.durations import to_duration
from services.mesh.media import media_bytes
from services.mesh.models import Models
from services.mesh.ports import Preprocessor
from services.mesh.request import limited, one_of, request_id
from services.mesh.server import budget
from services.speech.pipelines.recognition.captions import CaptionFormat, Captions
from services.speech.pipelines.recognition.hints import checked_hints
from services.speech.pipelines.recognition.recordings import RecordingRecognizer, Wishes
from services.speech.rpc import results

_MAX_ALTERNATIVES = 4
_CAPTIONS: Mapping[transcript_pb2.CaptionFormat.ValueType, CaptionFormat | None] = {
    transcript_pb2.CAPTION_FORMAT_UNSPECIFIED: None,
    transcript_pb2.CAPTION_FORMAT_SRT: "srt",
    transcript_pb2.CAPTION_FORMAT_VTT: "vtt",
}


class RecognitionRpcs(speech_pb2_grpc.SpeechServiceServicer):
    """The RPCs on whole recordings, and the one that lists the models."""

    _models: Models
    _preprocessor: Preprocessor
    _recordings: RecordingRecognizer

    async def Recognize(self, request: pb.RecognizeRequest, context: Context) -> pb.RecognizeResponse:
        """What a recording says."""
        echo, deadline = request_id(request), budget(context)
        caption_format = _CAPTIONS[one_of("caption_format", request.caption_format, _CAPTIONS)]
        card = self._models.pick("speech-recognition", request.model)
        wishes = Wishes(
            card=card,
            language=card.require_language(request.language_code) if request.language_code else "",
            word_times=request.enable_word_time_offsets or caption_format is not None,
            hints=checked_hints(request.phrase_hints),
            alternatives=limited(
                "max_alternatives", request.max_alternatives, default=0, low=0, high=_MAX_ALTERNATIVES
            ),
        )
        content = await media_bytes("audio", request.audio, self._preprocessor, deadline)
        found = await self._recordings.recognize(content, wishes, field="audio.content", deadline=deadline)
        captions = Captions(caption_format).render(found.segments) if caption_format else ""
        return pb.RecognizeResponse(
            transcript=found.text,
            segments=[results.segment(segment, words=request.enable_word_time_offsets) for segment in found.segments],
            language_code=found.language,
            language_confidence=found.language_probability,
            duration=to_duration(found.duration),
            model=card.name,
            request_id=echo,
            captions=captions,
        )

    async def GetSpeechConfig(
        self,
        request: pb.GetSpeechConfigRequest,
        context: Context,
    ) -> pb.GetSpeechConfigResponse:
        """The models that are ready."""
        return pb.GetSpeechConfigResponse(models=[card.to_proto() for card in self._models.listing()])
