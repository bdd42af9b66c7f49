"""Streams of sound to samples: raw ones on the event loop, those in containers in threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np

from services.mesh import errors
from services.mesh.audio import heard
from services.mesh.deadline import Deadline
from services.mesh.ports import AudioFormat, SoundEnd, SoundEvent, SoundPiece
from services.preprocessing.pipelines.decoders import Decoders, exhausted
from services.preprocessing.pipelines.sound import coded
from services.preprocessing.pipelines.sound.coded import NO_SPEECH
from services.preprocessing.pipelines.sound.raw import CODECS, RawDecoder
from services.preprocessing.pipelines.sound.resampling import Resampler
from services.preprocessing.pipelines.sound.speech import SpeechMeter

_WHAT = "streams of sound"


class SoundStreamer:
    """Decodes a bounded number of streams at once."""

    def __init__(self, *, max_streams: int = 64) -> None:
        """max_streams: at once, whatever their format."""
        self._decoders: Decoders[SoundEvent] = Decoders(max_streams, _WHAT)
        self._max_streams = max_streams
        self._streams = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End what is running."""
        self._decoders.__exit__(kind, error, traceback)

    @property
    def streams(self) -> int:
        """How many are being decoded."""
        return self._streams

    async def stream(
        self,
        chunks: AsyncIterator[bytes],
        audio_format: AudioFormat,
        *,
        sample_rate_hertz: int,
        meter: SpeechMeter | None,
        field: str,
        deadline: Deadline,
    ) -> AsyncGenerator[SoundEvent, None]:
        """The events of one stream; see services.mesh.ports.Preprocessor.stream_audio.

        meter: measures speech in it. Raises InvalidArgument naming the field, Exhausted, DeadlineExceeded, what the
        meter raises, and what the chunks raise.
        """
        deadline.require_seconds()
        if self._streams >= self._max_streams:
            raise exhausted(self._max_streams, _WHAT)
        if audio_format.encoding == "container":
            work = partial(coded.decode, sample_rate_hertz=sample_rate_hertz, field=field)
            events = self._decoders.run(work, chunks, deadline)
        else:
            events = _raw(chunks, audio_format, sample_rate_hertz, field, deadline)
        self._streams += 1
        try:
            async with (
                aclosing(events if meter is None else _measured(events, meter, deadline)) as told,
                aclosing(events),
            ):
                async for event in told:
                    if isinstance(event, SoundPiece):
                        heard(len(event.samples) / sample_rate_hertz)
                    yield event
        finally:
            self._streams -= 1


async def _raw(
    chunks: AsyncIterator[bytes], audio_format: AudioFormat, sample_rate_hertz: int, field: str, deadline: Deadline
) -> AsyncGenerator[SoundEvent, None]:
    """Samples without a container. A second of them takes a fraction of a millisecond, so no thread is asked."""
    decoder = RawDecoder(audio_format)
    resampler = Resampler(audio_format.sample_rate_hertz, sample_rate_hertz, field=field)
    received = 0

    def pieces(samples: Iterator[np.ndarray[tuple[int], np.dtype[np.float32]]], *, last: bool) -> Iterator[SoundPiece]:
        for each in samples:
            offset = resampler.offset_seconds
            made = resampler.take(each, last=last)
            for at in range(0, len(made), sample_rate_hertz):
                yield SoundPiece(
                    made[at : at + sample_rate_hertz], offset + at / sample_rate_hertz, NO_SPEECH, received
                )

    while chunk := await _next(chunks, deadline):
        received += len(chunk)
        told = False
        for piece in pieces(decoder.decode(chunk), last=False):
            told = True
            yield piece
            await asyncio.sleep(0)  # a large chunk has many pieces, and others wait for their turn
        if not told:
            # The bytes were heard, though the resampler keeps what they are to itself.
            yield SoundPiece(NO_SPEECH, resampler.offset_seconds, NO_SPEECH, received)
    if not resampler.count:
        raise errors.InvalidArgument.field(field, "holds no sound")
    for piece in pieces(iter([NO_SPEECH]), last=True):
        yield piece
    yield SoundEnd(
        resampler.duration_seconds,
        audio_format.sample_rate_hertz,
        audio_format.channels,
        CODECS[audio_format.encoding],
        damaged=decoder.incomplete,
    )


async def _next(chunks: AsyncIterator[bytes], deadline: Deadline) -> bytes:
    """The next chunk that holds anything, empty at the end."""
    try:
        async with asyncio.timeout(deadline.require_seconds()):
            async for chunk in chunks:
                if chunk:
                    return chunk
    except TimeoutError:
        raise errors.DeadlineExceeded("the deadline passed before all of it was read") from None
    return b""


async def _measured(
    events: AsyncGenerator[SoundEvent, None], meter: SpeechMeter, deadline: Deadline
) -> AsyncGenerator[SoundEvent, None]:
    """The same with speech measured. The window that the end cuts short comes in a piece without samples."""
    received = 0
    async for event in events:
        if isinstance(event, SoundPiece):
            received = event.bytes_received
            yield replace(event, speech=await meter.measure(event.samples, deadline))
        else:
            speech = await meter.finish(deadline)
            if len(speech):
                yield SoundPiece(NO_SPEECH, event.duration_seconds, speech, received)
            yield event
