"""`maas speech listen`: what is being said, while it is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc.aio

from maas.preprocessing.v1 import preprocessing_pb2, preprocessing_pb2_grpc
from maas.speech.v1 import live_pb2 as pb
from maas.type.v1 import media_pb2
from services.cli.options import Address, Json, Model, Recording, Timeout
from services.cli.output import console, errors, to_json
from services.cli.sounds import Channels, Encoding, Raw, RawEncoding, Sound, open_sound
from services.cli.speech.live import Line, arriving, paced, run
from services.cli.speech.measures import Measures
from services.cli.speech.recognition import DAY_SECONDS, Hints, Language, Wait
from services.cli.speech.screen import Screen

if TYPE_CHECKING:
    from maas.preprocessing.v1.preprocessing_pb2_grpc import PreprocessingServiceAsyncStub

_DECODED = media_pb2.AudioStreamFormat(
    encoding=media_pb2.AUDIO_STREAM_ENCODING_FLOAT32, sample_rate_hertz=16_000, channels=1
)
_DECODED_BYTES_PER_SECOND = 64_000


def listen(
    recording: Recording,
    *,
    address: Address,
    language: Language = "",
    hint: Hints = None,
    raw: Raw = 0,
    encoding: RawEncoding = Encoding.LINEAR16,
    channels: Channels = 1,
    wait: Wait = 0.0,
    model: Model = "",
    timeout: Timeout = DAY_SECONDS,
    as_json: Json = False,
) -> None:
    """Listen to a recording, or a microphone's pipe, as fast as it sounds: text appears while somebody speaks.

    On a terminal firm words are bold, and words that may still change are dim. Elsewhere, a line an utterance; with
    --json a line a message.
    """
    sound = open_sound(recording, raw, encoding, channels)
    config = pb.StreamingRecognizeConfig(
        format=sound.format if sound.bytes_per_second else _DECODED,
        language_code=language,
        interim_results=True,
        phrase_hints=hint or [],
        model=model,
    )

    async def work(line: Line) -> None:
        measures = Measures(time.monotonic)
        with Screen(console()) as screen:
            answers = line.recognize(config, measures.timed(_real_time(line, sound)), wait_seconds=wait)
            async for answer in answers:
                measures.see(answer)
                if as_json:
                    print(to_json(answer, on_one_line=True), flush=True)
                else:
                    screen.show(answer)
        errors().print(measures.summary(), style="dim")

    run(address, timeout, work, ends=True)


def _real_time(line: Line, sound: Sound) -> AsyncIterator[bytes]:
    """The sound as fast as it sounds. The mesh decodes a container first, since its bytes do not tell the time."""
    chunks = arriving(sound.chunks(), line.stop)
    if sound.bytes_per_second:
        return paced(chunks, sound.bytes_per_second)
    return paced(_decoded(line.channel, chunks), _DECODED_BYTES_PER_SECOND)


async def _decoded(channel: grpc.aio.Channel, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    stub: PreprocessingServiceAsyncStub = preprocessing_pb2_grpc.PreprocessingServiceStub(channel)

    async def requests() -> AsyncIterator[preprocessing_pb2.StreamingConvertAudioRequest]:
        config = preprocessing_pb2.StreamingConvertAudioConfig(sample_rate_hertz=_DECODED.sample_rate_hertz)
        yield preprocessing_pb2.StreamingConvertAudioRequest(config=config)
        async for chunk in chunks:
            yield preprocessing_pb2.StreamingConvertAudioRequest(content=chunk)

    call = stub.StreamingConvertAudio(requests())
    try:
        async for answer in call:
            if answer.HasField("piece") and answer.piece.content:
                yield answer.piece.content
    finally:
        call.cancel()
