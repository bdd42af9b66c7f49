"""PreprocessingService: decodes, delegates, encodes."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors, tensor
from services.mesh.interceptors import Context
from services.mesh.ports import DetectedLanguage, Fit, Sentence
from services.mesh.request import one_of, request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.preprocessing.pipelines import audio, image, text
from services.preprocessing.pipelines.inputs import InputPipelines

FORMS: Mapping[int, text.Form] = {
    pb.UNICODE_FORM_UNSPECIFIED: "NFC",
    pb.UNICODE_FORM_NFC: "NFC",
    pb.UNICODE_FORM_NFKC: "NFKC",
}
FITS: Mapping[int, Fit] = {
    pb.FIT_UNSPECIFIED: "stretch",
    pb.FIT_STRETCH: "stretch",
    pb.FIT_COVER: "cover",
    pb.FIT_CONTAIN: "contain",
}


class PreprocessingServicer(preprocessing_pb2_grpc.PreprocessingServiceServicer):
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

    async def TransformImage(self, request: pb.TransformImageRequest, context: Context) -> pb.TransformImageResponse:
        """A picture to pixels."""
        echo = request_id(request)
        picture = await self._pipelines.transform_image(
            _content("image", request.image),
            width=request.width,
            height=request.height,
            fit=FITS[one_of("fit", request.fit, FITS)],
            crop_fraction=request.crop_fraction,
            deadline=budget(context),
        )
        pixels = picture.pixels
        region = pixels.source_region
        return pb.TransformImageResponse(
            pixels=tensor.to_proto(pixels.pixels),
            source_width=pixels.source_width,
            source_height=pixels.source_height,
            source_format=picture.source_format,
            source_region=media_pb2.BoundingBox(
                x_min=region.x_min, y_min=region.y_min, x_max=region.x_max, y_max=region.y_max
            ),
            request_id=echo,
        )

    async def ConvertAudio(self, request: pb.ConvertAudioRequest, context: Context) -> pb.ConvertAudioResponse:
        """A recording to samples."""
        echo = request_id(request)
        recording = await self._pipelines.convert_audio(
            _content("audio", request.audio), sample_rate_hertz=request.sample_rate_hertz, deadline=budget(context)
        )
        sound = recording.sound
        return pb.ConvertAudioResponse(
            samples=tensor.to_proto(sound.samples),
            sample_rate_hertz=sound.sample_rate_hertz,
            source_sample_rate_hertz=recording.source_sample_rate_hertz,
            source_channels=recording.source_channels,
            source_codec=recording.source_codec,
            duration=_duration(sound.duration_seconds),
            request_id=echo,
        )

    async def GetPreprocessingConfig(
        self, request: pb.GetPreprocessingConfigRequest, context: Context
    ) -> pb.GetPreprocessingConfigResponse:
        """What this service knows."""
        return pb.GetPreprocessingConfigResponse(
            tokenizers=self._pipelines.tokenizers,
            image_formats=image.FORMATS,
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


def _content(field: str, message: media_pb2.Image | media_pb2.Audio) -> bytes:
    """The bytes of a picture or recording. Raises InvalidArgument when it has no source."""
    if message.WhichOneof("source") is None:
        raise errors.InvalidArgument.field(field, "is required")
    return message.content


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration
