"""The adapter to the preprocessing service (services.mesh.ports.Preprocessor)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import tensor
from services.mesh.channel import open_channel
from services.mesh.client import call
from services.mesh.ports import DetectedLanguage, Fit, Pixels, Region, Sentence, Sound, Tokens
from services.mesh.settings import MEBIBYTE
from services.mesh.status import from_status

if TYPE_CHECKING:
    import grpc.aio

    from services.mesh.deadline import Deadline

SERVICE = "maas.preprocessing.v1.PreprocessingService"
_FITS: dict[Fit, pb.Fit.ValueType] = {
    "stretch": pb.FIT_STRETCH,
    "cover": pb.FIT_COVER,
    "contain": pb.FIT_CONTAIN,
}


class RemotePreprocessor:
    """Asks the preprocessing service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """channel: to preprocessing, see `open_preprocessing`."""
        self._stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)

    async def tokenize(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline) -> Tokens:
        """Split texts into token ids; see the port."""
        response = await call(
            self._stub.TokenizeText,
            pb.TokenizeTextRequest(contents=texts, tokenizer=tokenizer, max_tokens=max_tokens),
            method=f"{SERVICE}/TokenizeText",
            deadline=deadline,
        )
        return Tokens(
            cast("NDArray[np.int64]", tensor.from_proto(response.input_ids)),
            cast("NDArray[np.int64]", tensor.from_proto(response.attention_mask)),
            tuple(response.truncated),
        )

    async def segment(
        self, texts: Sequence[str], *, language_codes: Sequence[str], deadline: Deadline
    ) -> list[list[Sentence]]:
        """Find the sentences of each text; see the port."""
        response = await call(
            self._stub.SegmentText,
            pb.SegmentTextRequest(contents=texts, language_codes=language_codes),
            method=f"{SERVICE}/SegmentText",
            deadline=deadline,
        )
        _raise_first(response.results)
        return [[Sentence(each.begin, each.end) for each in result.sentences] for result in response.results]

    async def detect_language(self, texts: Sequence[str], *, deadline: Deadline) -> list[DetectedLanguage]:
        """Tell what each text is written in; see the port."""
        response = await call(
            self._stub.DetectLanguage,
            pb.DetectLanguageRequest(contents=texts),
            method=f"{SERVICE}/DetectLanguage",
            deadline=deadline,
        )
        _raise_first(response.results)
        return [
            DetectedLanguage(
                result.language_code,
                result.confidence,
                tuple((each.language_code, each.confidence) for each in result.alternatives),
            )
            for result in response.results
        ]

    async def transform_image(
        self, content: bytes, *, width: int, height: int, fit: Fit, crop_fraction: float, deadline: Deadline
    ) -> Pixels:
        """Decode, turn upright, scale and crop a picture; see the port."""
        response = await call(
            self._stub.TransformImage,
            pb.TransformImageRequest(
                image=media_pb2.Image(content=content),
                width=width,
                height=height,
                fit=_FITS[fit],
                crop_fraction=crop_fraction,
            ),
            method=f"{SERVICE}/TransformImage",
            deadline=deadline,
        )
        region = response.source_region
        return Pixels(
            cast("NDArray[np.uint8]", tensor.from_proto(response.pixels)),
            response.source_width,
            response.source_height,
            Region(region.x_min, region.y_min, region.x_max, region.y_max),
        )

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """Decode, mix to one channel and resample a recording; see the port."""
        response = await call(
            self._stub.ConvertAudio,
            pb.ConvertAudioRequest(audio=media_pb2.Audio(content=content), sample_rate_hertz=sample_rate_hertz),
            method=f"{SERVICE}/ConvertAudio",
            deadline=deadline,
        )
        return Sound(
            cast("NDArray[np.float32]", tensor.from_proto(response.samples)),
            response.sample_rate_hertz,
            response.duration.ToTimedelta().total_seconds(),
        )


def _raise_first(results: Iterable[pb.SegmentedText | pb.DetectedLanguage]) -> None:
    """Raise the error of the first text that broke a rule, if any did."""
    for result in results:
        if result.HasField("status"):
            raise from_status(result.status)


@asynccontextmanager
async def open_preprocessing(address: str) -> AsyncIterator[RemotePreprocessor]:
    """A connection to preprocessing for as long as the block runs."""
    async with open_channel(address, service=SERVICE, max_message_bytes=64 * MEBIBYTE) as channel:
        yield RemotePreprocessor(channel)
