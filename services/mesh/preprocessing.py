"""The adapter to the preprocessing service (services.mesh.ports.Preprocessor)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh import errors, frames, sounds, tensor
from services.mesh.audio import heard
from services.mesh.channel import open_channel
from services.mesh.client import Request, Response
from services.mesh.client import call as call_service
from services.mesh.pictures import REDACTIONS, pixels_from_proto, region_to_proto, target_to_proto
from services.mesh.ports import (
    AudioFormat,
    DetectedLanguage,
    EncodedImage,
    Pixels,
    Redaction,
    Region,
    Sentence,
    Sound,
    SoundEvent,
    Target,
    Tokens,
    VideoEvent,
)
from services.mesh.settings import MEBIBYTE
from services.mesh.status import from_status
from services.mesh.timing import Stage, stage

if TYPE_CHECKING:
    import grpc.aio

    from services.mesh.deadline import Deadline

SERVICE = "maas.preprocessing.v1.PreprocessingService"


class RemotePreprocessor:
    """Asks the preprocessing service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """channel: to preprocessing, see `open_preprocessing`."""
        self._stub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)

    async def tokenize(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int, deadline: Deadline) -> Tokens:
        """Split texts into token ids; see the port."""
        response = await _call(
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
        response = await _call(
            self._stub.SegmentText,
            pb.SegmentTextRequest(contents=texts, language_codes=language_codes),
            method=f"{SERVICE}/SegmentText",
            deadline=deadline,
        )
        _raise_first(response.results)
        return [[Sentence(each.begin, each.end) for each in result.sentences] for result in response.results]

    async def detect_language(self, texts: Sequence[str], *, deadline: Deadline) -> list[DetectedLanguage]:
        """Tell what each text is written in; see the port."""
        response = await _call(
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

    async def render_image(self, content: bytes, targets: Sequence[Target], *, deadline: Deadline) -> list[Pixels]:
        """Decode a picture once and render it for each target; see the port."""
        response = await _call(
            self._stub.RenderImage,
            pb.RenderImageRequest(image=media_pb2.Image(content=content), targets=map(target_to_proto, targets)),
            method=f"{SERVICE}/RenderImage",
            deadline=deadline,
        )
        return [pixels_from_proto(each, response.source_width, response.source_height) for each in response.renderings]

    async def redact_image(
        self, content: bytes, regions: Sequence[Region], *, method: Redaction, deadline: Deadline
    ) -> EncodedImage:
        """A picture with some of its places covered; see the port."""
        response = await _call(
            self._stub.RedactImage,
            pb.RedactImageRequest(
                image=media_pb2.Image(content=content), regions=map(region_to_proto, regions), method=REDACTIONS[method]
            ),
            method=f"{SERVICE}/RedactImage",
            deadline=deadline,
        )
        return EncodedImage(response.content, response.media_type)

    def extract_frames(
        self,
        chunks: AsyncIterator[bytes],
        targets: Sequence[Target],
        *,
        frames_per_second: float,
        detect_shot_changes: bool,
        deadline: Deadline,
    ) -> AsyncGenerator[VideoEvent, None]:
        """Decode a video from the chunks of its file; see the port."""
        return frames.extract_frames(
            self._stub,
            chunks,
            targets,
            frames_per_second=frames_per_second,
            detect_shot_changes=detect_shot_changes,
            deadline=deadline,
        )

    async def fetch_media(self, uri: str, *, field: str, deadline: Deadline) -> bytes:
        """What lies at an address that the operator allows; see the port."""
        try:
            response = await _call(
                self._stub.FetchMedia,
                pb.FetchMediaRequest(uri=uri),
                method=f"{SERVICE}/FetchMedia",
                deadline=deadline,
            )
        except errors.InvalidArgument as error:
            raise _renamed(error, field) from None
        return response.content

    def stream_audio(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        *,
        sample_rate_hertz: int,
        measure_speech: bool,
        field: str,
        deadline: Deadline,
    ) -> AsyncGenerator[SoundEvent, None]:
        """Decode, mix to one channel and resample sound while it comes; see the port."""
        return sounds.stream_audio(
            self._stub,
            chunks,
            audio_format,
            sample_rate_hertz=sample_rate_hertz,
            measure_speech=measure_speech,
            field=field,
            deadline=deadline,
        )

    async def convert_audio(self, content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Sound:
        """Decode, mix to one channel and resample a recording; see the port."""
        response = await _call(
            self._stub.ConvertAudio,
            pb.ConvertAudioRequest(audio=media_pb2.Audio(content=content), sample_rate_hertz=sample_rate_hertz),
            method=f"{SERVICE}/ConvertAudio",
            deadline=deadline,
        )
        seconds = response.duration.ToTimedelta().total_seconds()
        heard(seconds)
        return Sound(
            cast("NDArray[np.float32]", tensor.from_proto(response.samples)), response.sample_rate_hertz, seconds
        )


async def _call(
    stub_method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    *,
    method: str,
    deadline: Deadline,
) -> Response:
    with stage(Stage.PREPROCESS):
        return await call_service(stub_method, request, method=method, deadline=deadline)


def _renamed(error: errors.InvalidArgument, field: str) -> errors.InvalidArgument:
    """The same error about the field from which our caller took what we sent."""
    return errors.InvalidArgument.field(field, error.violations[0].description) if error.violations else error


def _raise_first(results: Iterable[pb.SegmentedText | pb.DetectedLanguage]) -> None:
    """Raise the error of the first text that broke a rule, if any did."""
    for result in results:
        if result.HasField("status"):
            raise from_status(result.status)


@asynccontextmanager
async def open_preprocessing(address: str) -> AsyncIterator[RemotePreprocessor]:
    """A connection to preprocessing for as long as the block runs."""
    # What cannot be fetched was waited for, and the place that does not answer is not ours to press.
    once = ["FetchMedia"]
    async with open_channel(address, service=SERVICE, max_message_bytes=64 * MEBIBYTE, asked_once=once) as channel:
        yield RemotePreprocessor(channel)
