"""PreprocessingService: decodes, delegates, encodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors, tensor
from services.mesh.deadline import Deadline
from services.mesh.interceptors import Context
from services.mesh.ports import Fit
from services.mesh.request import fraction, limited, request_id
from services.mesh.server import budget
from services.preprocessing.pipelines import audio, contents, image, text
from services.preprocessing.pipelines.tokens import Tokenizers
from services.preprocessing.pipelines.workers import Workers

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
MAX_WANTED_SIDE = 4096

T = TypeVar("T")


class PreprocessingServicer(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    """The RPCs of preprocessing."""

    def __init__(self, tokenizers: Tokenizers, workers: Workers) -> None:
        self._tokenizers = tokenizers
        self._workers = workers

    async def NormalizeText(self, request: pb.NormalizeTextRequest, context: Context) -> pb.NormalizeTextResponse:
        """Texts cleaned."""
        echo = request_id(request)
        texts = list(request.contents)
        size = contents.check(texts)
        normalize = partial(
            text.normalize,
            form=_choice("unicode_form", request.unicode_form, FORMS),
            fold_case=request.fold_case,
            keep_line_breaks=request.keep_line_breaks,
        )
        cleaned = await self._run(size, lambda: [normalize(each) for each in texts], budget(context))
        return pb.NormalizeTextResponse(contents=cleaned, request_id=echo)

    async def TokenizeText(self, request: pb.TokenizeTextRequest, context: Context) -> pb.TokenizeTextResponse:
        """Texts to token ids."""
        echo = request_id(request)
        texts = list(request.contents)
        size = contents.check(texts)
        encode = partial(
            self._tokenizers.encode,
            texts,
            tokenizer=request.tokenizer,
            max_tokens=limited("max_tokens", request.max_tokens, default=512, low=2, high=8192),
        )
        tokens = await self._run(size, encode, budget(context))
        return pb.TokenizeTextResponse(
            input_ids=tensor.to_proto(tokens.input_ids),
            attention_mask=tensor.to_proto(tokens.attention_mask),
            truncated=tokens.truncated,
            request_id=echo,
        )

    async def TransformImage(self, request: pb.TransformImageRequest, context: Context) -> pb.TransformImageResponse:
        """A picture to pixels."""
        echo = request_id(request)
        transform = partial(
            image.transform,
            _content("image", request.image),
            width=_side("width", request.width, request.height),
            height=_side("height", request.height, request.width),
            fit=_choice("fit", request.fit, FITS),
            crop_fraction=fraction("crop_fraction", request.crop_fraction, default=1.0),
        )
        picture = await self._workers.run(transform, budget(context))
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
        deadline = budget(context)
        convert = partial(
            audio.convert,
            _content("audio", request.audio),
            sample_rate_hertz=limited(
                "sample_rate_hertz", request.sample_rate_hertz, default=16_000, low=8_000, high=48_000
            ),
            deadline=deadline,
        )
        recording = await self._workers.run(convert, deadline)
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
            tokenizers=self._tokenizers.names, image_formats=image.FORMATS, audio_formats=audio.FORMATS
        )

    async def _run(self, size: int, work: Callable[[], T], deadline: Deadline) -> T:
        """Work on texts of so many bytes: short ones at once, long ones off the event loop."""
        return work() if size <= contents.INLINE_BYTES else await self._workers.run(work, deadline)


def _content(field: str, message: media_pb2.Image | media_pb2.Audio) -> bytes:
    """The bytes of a picture or recording. Raises InvalidArgument when it has no source."""
    if message.WhichOneof("source") is None:
        raise errors.InvalidArgument.field(field, "is required")
    return message.content


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration


def _side(field: str, value: int, other: int) -> int:
    """A wanted width or height in pixels. Raises InvalidArgument for 0 beside another that is given."""
    if value == 0 and other == 0:
        return 0
    if not 1 <= value <= MAX_WANTED_SIDE:
        raise errors.InvalidArgument.field(
            field, f"takes 1 to {MAX_WANTED_SIDE}, or 0 in both width and height, got {value}"
        )
    return value


def _choice(field: str, value: int, choices: Mapping[int, T]) -> T:
    """What a value of an enum stands for. Raises InvalidArgument for a value that the contract does not know."""
    if value not in choices:
        raise errors.InvalidArgument.field(field, f"has no value {value}")
    return choices[value]
