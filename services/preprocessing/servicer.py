"""PreprocessingService: decodes, delegates, encodes."""

from __future__ import annotations

from collections.abc import Mapping

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from services.mesh import errors, tensor
from services.mesh.call import Context
from services.mesh.durations import to_duration
from services.mesh.ports import DetectedLanguage, Sentence
from services.mesh.request import one_of, request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.preprocessing.pipelines import audio, text
from services.preprocessing.pipelines.image import opened
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.rpc.content import content_of
from services.preprocessing.rpc.images import ImageRpcs
from services.preprocessing.rpc.sound import SoundRpcs
from services.preprocessing.rpc.video import VideoRpcs

FORMS: Mapping[int, text.Form] = {
    pb.UNICODE_FORM_UNSPECIFIED: "NFC",
    pb.UNICODE_FORM_NFC: "NFC",
    pb.UNICODE_FORM_NFKC: "NFKC",
}


class PreprocessingServicer(ImageRpcs, VideoRpcs, SoundRpcs):
    """The RPCs of preprocessing."""

    def __init__(self, pipelines: InputPipelines) -> None:
        self._pipelines = pipelines

    async def NormalizeText(self, request: pb.NormalizeTextRequest, context: Context) -> pb.NormalizeTextResponse:
        """Texts cleaned."""
        echo = request_id(request)
        cleaned = await self._pipelines.normalize_text(
            list(request.contents),
            form=FORMS[one_of("unicode_form", request.unicode_form, FORMS)],
            fold_case=request.fold_case,
            keep_line_breaks=request.keep_line_breaks,
            deadline=budget(context),
        )
        return pb.NormalizeTextResponse(contents=cleaned, request_id=echo)

    async def TokenizeText(self, request: pb.TokenizeTextRequest, context: Context) -> pb.TokenizeTextResponse:
        """Texts to token ids."""
        echo = request_id(request)
        tokens = await self._pipelines.tokenize_text(
            list(request.contents),
            tokenizer=request.tokenizer,
            max_tokens=request.max_tokens,
            deadline=budget(context),
        )
        return pb.TokenizeTextResponse(
            input_ids=tensor.to_proto(tokens.input_ids),
            attention_mask=tensor.to_proto(tokens.attention_mask),
            truncated=tokens.truncated,
            request_id=echo,
        )

    async def SegmentText(self, request: pb.SegmentTextRequest, context: Context) -> pb.SegmentTextResponse:
        """Texts to sentences."""
        echo = request_id(request)
        found = await self._pipelines.segment_text(
            list(request.contents), language_codes=list(request.language_codes), deadline=budget(context)
        )
        return pb.SegmentTextResponse(results=[_sentences(each) for each in found], request_id=echo)

    async def DetectLanguage(self, request: pb.DetectLanguageRequest, context: Context) -> pb.DetectLanguageResponse:
        """What texts are written in."""
        echo = request_id(request)
        found, model = await self._pipelines.detect_language(
            list(request.contents), model=request.model, deadline=budget(context)
        )
        return pb.DetectLanguageResponse(results=[_language(each) for each in found], model=model, request_id=echo)

    async def FetchMedia(self, request: pb.FetchMediaRequest, context: Context) -> pb.FetchMediaResponse:
        """What lies at an address."""
        echo = request_id(request)
        content = await self._pipelines.fetch_media(request.uri, field="uri", deadline=budget(context))
        return pb.FetchMediaResponse(content=content, request_id=echo)

    async def ConvertAudio(self, request: pb.ConvertAudioRequest, context: Context) -> pb.ConvertAudioResponse:
        """A recording to samples."""
        echo, deadline = request_id(request), budget(context)
        recording = await self._pipelines.convert_audio(
            await content_of("audio", request.audio, self._pipelines, deadline),
            sample_rate_hertz=request.sample_rate_hertz,
            deadline=deadline,
        )
        sound = recording.sound
        return pb.ConvertAudioResponse(
            samples=tensor.to_proto(sound.samples),
            sample_rate_hertz=sound.sample_rate_hertz,
            source_sample_rate_hertz=recording.source_sample_rate_hertz,
            source_channels=recording.source_channels,
            source_codec=recording.source_codec,
            duration=to_duration(sound.duration_seconds),
            request_id=echo,
        )

    async def GetPreprocessingConfig(
        self, request: pb.GetPreprocessingConfigRequest, context: Context
    ) -> pb.GetPreprocessingConfigResponse:
        """What this service knows."""
        return pb.GetPreprocessingConfigResponse(
            tokenizers=self._pipelines.tokenizers,
            image_formats=opened.FORMATS,
            audio_formats=audio.FORMATS,
            models=[card.to_proto() for card in self._pipelines.models],
        )


def _sentences(found: list[Sentence] | errors.MeshError) -> pb.SegmentedText:
    if isinstance(found, errors.MeshError):
        return pb.SegmentedText(status=to_status(found))
    return pb.SegmentedText(sentences=[pb.Sentence(begin=each.begin, end=each.end) for each in found])


def _language(found: DetectedLanguage | errors.MeshError) -> pb.DetectedLanguage:
    if isinstance(found, errors.MeshError):
        return pb.DetectedLanguage(status=to_status(found))
    return pb.DetectedLanguage(
        language_code=found.language_code,
        confidence=found.confidence,
        alternatives=[pb.LanguageCandidate(language_code=code, confidence=each) for code, each in found.alternatives],
    )
