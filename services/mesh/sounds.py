"""Sound from the preprocessing service while it comes: the stream behind the port's stream_audio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import numpy as np

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from services.mesh import errors
from services.mesh.audio import heard
from services.mesh.durations import to_seconds
from services.mesh.exchange import exchange
from services.mesh.ports import AudioFormat, SoundEnd, SoundEvent, SoundPiece
from services.mesh.sound import format_to_proto
from services.mesh.timing import Stage, stage

if TYPE_CHECKING:
    from maas.preprocessing.v1.preprocessing_pb2_grpc import PreprocessingServiceAsyncStub
    from services.mesh.deadline import Deadline

METHOD = "maas.preprocessing.v1.PreprocessingService/StreamingConvertAudio"


async def stream_audio(
    stub: PreprocessingServiceAsyncStub,
    chunks: AsyncIterator[bytes],
    audio_format: AudioFormat,
    *,
    sample_rate_hertz: int,
    measure_speech: bool,
    field: str,
    deadline: Deadline,
) -> AsyncGenerator[SoundEvent, None]:
    """Decode, mix to one channel and resample sound while it comes; see the port."""
    config = pb.StreamingConvertAudioConfig(
        format=format_to_proto(audio_format), sample_rate_hertz=sample_rate_hertz, measure_speech=measure_speech
    )
    async with (
        aclosing(_requests(config, chunks)) as requests,
        aclosing(exchange(stub.StreamingConvertAudio, requests, method=METHOD, deadline=deadline)) as responses,
    ):
        try:
            end = None
            while (response := await _next(responses)) is not None:
                event = _event(response)
                if isinstance(event, SoundEnd):
                    # The call is read to its own end first: who has this event asks for no more.
                    end = event
                else:
                    heard(len(event.samples) / sample_rate_hertz)
                    yield event
        except errors.InvalidArgument as error:
            # What the caller's own chunks raise names its fields already.
            if [each.field for each in error.violations] != ["content"]:
                raise
            raise errors.InvalidArgument.field(field, error.violations[0].description) from None
    if end is not None:
        yield end


async def _next(
    responses: AsyncIterator[pb.StreamingConvertAudioResponse],
) -> pb.StreamingConvertAudioResponse | None:
    with stage(Stage.LISTEN):
        return await anext(responses, None)


async def _requests(
    config: pb.StreamingConvertAudioConfig, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[pb.StreamingConvertAudioRequest, None]:
    yield pb.StreamingConvertAudioRequest(config=config)
    async for chunk in chunks:
        yield pb.StreamingConvertAudioRequest(content=chunk)


def _event(response: pb.StreamingConvertAudioResponse) -> SoundEvent:
    if response.WhichOneof("streaming_response") == "end":
        end = response.end
        return SoundEnd(
            to_seconds(end.duration),
            end.source_sample_rate_hertz,
            end.source_channels,
            end.source_codec,
            damaged=end.damaged,
        )
    piece = response.piece
    return SoundPiece(
        np.frombuffer(piece.content, "<f4"),
        to_seconds(piece.offset),
        np.array(piece.speech_probabilities, np.float32),
        piece.bytes_received,
    )
