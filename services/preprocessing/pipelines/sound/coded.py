"""Decodes sound in a container while its bytes come."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import av
import av.container
import av.stream
import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.ports import SoundEnd, SoundEvent, SoundPiece
from services.preprocessing.pipelines.containers import (
    CONTAINERS,
    FLAC,
    HEAD_BYTES,
    ID3_HEADER_BYTES,
    MAX_ID3_TAGS,
    MAX_MP4_SAMPLES,
    MAX_PADDING_BYTES,
    MP4,
    WAV,
    Container,
    id3_bytes,
    mp4_samples,
    recognize,
)
from services.preprocessing.pipelines.sound.mixing import Mixer
from services.preprocessing.pipelines.sound.opened import check_kind, open_container, sound_stream
from services.preprocessing.pipelines.sound.raw import CODECS, SLICE_BYTES, RawDecoder
from services.preprocessing.pipelines.sound.resampling import Resampler
from services.preprocessing.pipelines.sound.wav import Plain, known, read_plain
from services.preprocessing.pipelines.source import Metered, MeteredFile, Source

FORMATS = tuple(container.name for container in CONTAINERS)
MAX_MP4_BYTES = 20 * 1024 * 1024

# Bytes that may be read without any sound: tags with pictures come before it.
_MAX_BYTES_A_FRAME = 20 * 1024 * 1024
# What is read, and kept in memory, to learn about the sound.
_PROBED_BYTES = 1024

NO_SPEECH: NDArray[np.float32] = np.empty(0, np.float32)


class Caller(Protocol):
    """Who waits for the sound."""

    def read(self) -> bytes:
        """The next chunk, empty at the end."""
        ...

    def put(self, event: SoundEvent) -> None:
        """Take an event."""
        ...

    def require_open(self) -> None:
        """Raise when nobody waits any more."""
        ...


def decode(caller: Caller, *, sample_rate_hertz: int, field: str) -> None:
    """Give the events of a stream to its caller, SoundEnd last; nothing is kept back while the next chunk is awaited.

    field: the stream's name in errors. Raises InvalidArgument for what is no sound that can be streamed, and what the
    caller's methods raise. Of sound with a damaged place all the rest is given.
    """
    _Decoding(caller, sample_rate_hertz, field).run()


class _Decoding:
    """One stream's."""

    def __init__(self, caller: Caller, sample_rate_hertz: int, field: str) -> None:
        self._caller = caller
        self._wanted_hertz = sample_rate_hertz
        self._field = field
        self._source = Source(self._next_chunk)
        self._resampler: Resampler | None = None
        self._mixed: list[NDArray[np.float32]] = []
        self._waiting = 0
        self._channels = 0
        self._damaged = False
        self._told = 0

    def run(self) -> None:
        """From the first byte to the last."""
        skipped = _skip_tags(self._source, self._field)
        head = self._source.peek(HEAD_BYTES)
        kind = recognize(head)
        if kind is None:
            raise self._wrong(f"is none of {', '.join(FORMATS)}, or empty")
        plain = read_plain(self._source) if kind is WAV else None
        if plain is None:
            codec, damaged = self._coded(kind, skipped + _declared_bytes(kind, head))
        else:
            codec, damaged = self._plain(plain)
        if self._resampler is None or not self._resampler.count + self._waiting:
            raise self._wrong("holds no sound that can be decoded")
        self._flush(last=True)
        resampler = self._resampler
        self._caller.put(
            SoundEnd(resampler.duration_seconds, resampler.source_hertz, self._channels, codec, damaged=damaged)
        )

    def _plain(self, plain: Plain) -> tuple[str, bool]:
        """Samples that need no decoder. Gives their codec, and whether some of them were missing."""
        audio_format, left = plain.audio_format, plain.data_bytes
        check_kind(audio_format.sample_rate_hertz, audio_format.channels, field=self._field)
        decoder = RawDecoder(audio_format)
        self._begin(audio_format.sample_rate_hertz, audio_format.channels)
        while left != 0 and (data := self._source.read(SLICE_BYTES if left is None else min(left, SLICE_BYTES))):
            self._caller.require_open()
            left = None if left is None else left - len(data)
            for samples in decoder.decode(data):
                self._add(samples)
        while left == 0 and self._source.read(SLICE_BYTES):
            self._caller.require_open()  # notes may follow the samples
        return CODECS[audio_format.encoding], bool(left) or decoder.incomplete

    def _coded(self, kind: Container, declared_bytes: int) -> tuple[str, bool]:
        """What FFmpeg decodes. Gives its codec, and whether some of it was missing or damaged."""
        file = (
            MeteredFile(self._whole(), field=self._field)
            if kind is MP4
            else Metered(self._source, field=self._field, max_bytes=_MAX_BYTES_A_FRAME)
        )
        try:
            container = open_container(file, kind, field=self._field, probed_bytes=_PROBED_BYTES)
        finally:
            file.check()  # of what went wrong while FFmpeg read, it knows nothing
        mixer: Mixer | None = None
        with container:
            stream = sound_stream(container, field=self._field)
            for other in container.streams:
                if other is not stream:
                    other.discard = av.stream.Discard.all
            for frame in self._frames(container, stream, file):
                file.frame_came()
                if mixer is None:
                    mixer = Mixer(frame, field=self._field)
                    self._begin(mixer.rate, mixer.channels)
                self._add(mixer.mix(frame))
            codec = stream.codec_context.codec.canonical_name
            declared = stream.duration if kind is FLAC else None
        short = self._resampler is not None and self._resampler.count + self._waiting < (declared or 0)
        return codec, self._damaged or short or self._source.received < declared_bytes

    def _whole(self) -> BinaryIO:
        """An MP4 when all of it has come, since its index may be at its end."""
        content = bytearray()
        while piece := self._source.read(SLICE_BYTES):
            self._caller.require_open()
            content += piece
            if len(content) > MAX_MP4_BYTES:
                raise self._wrong(f"takes an MP4 of at most {MAX_MP4_BYTES} bytes, since it is heard as a whole only")
        if mp4_samples(bytes(content)) > MAX_MP4_SAMPLES:
            raise self._wrong(f"takes an MP4 of at most {MAX_MP4_SAMPLES} samples")
        return io.BytesIO(content)

    def _frames(
        self, container: av.container.InputContainer, stream: av.AudioStream, file: Metered
    ) -> Iterator[av.AudioFrame]:
        for packet in self._packets(container, stream, file):
            self._caller.require_open()
            if packet is not None and not packet.size:
                continue  # The decoder would take it for the end.
            try:
                frames = stream.codec_context.decode(packet)
            except Exception:  # noqa: BLE001 - hostile bytes make PyAV raise what it likes
                self._damaged = True
                continue
            for frame in frames:
                self._damaged = self._damaged or frame.is_corrupt
                if frame.samples:
                    yield frame

    def _packets(
        self, container: av.container.InputContainer, stream: av.AudioStream, file: Metered
    ) -> Iterator[av.Packet[av.AudioStream] | None]:
        """Those of the sound, and None at its end."""
        try:
            yield from container.demux(stream)
        except Exception:  # noqa: BLE001 - as above
            self._damaged = True
        file.check()
        yield None

    def _begin(self, source_hertz: int, channels: int) -> None:
        self._resampler = Resampler(source_hertz, self._wanted_hertz, field=self._field)
        self._channels = channels

    def _add(self, samples: NDArray[np.float32]) -> None:
        self._mixed.append(samples)
        self._waiting += len(samples)
        if self._resampler is not None and self._waiting >= self._resampler.source_hertz:
            self._flush()

    def _next_chunk(self) -> bytes:
        """Called when FFmpeg has read all there is: what it gave of it must not wait for the next chunk."""
        self._flush()
        if self._told < self._source.received:
            # The bytes were heard, though they gave no sound yet.
            offset = 0.0 if self._resampler is None else self._resampler.offset_seconds
            self._put(SoundPiece(NO_SPEECH, offset, NO_SPEECH, self._source.received))
        return self._caller.read()

    def _put(self, piece: SoundPiece) -> None:
        self._told = piece.bytes_received
        self._caller.put(piece)

    def _flush(self, *, last: bool = False) -> None:
        """Give what was decoded, at most a second at a time."""
        if self._resampler is None or not (self._mixed or last):
            return
        mixed = np.concatenate(self._mixed) if self._mixed else np.empty(0, np.float32)
        self._mixed, self._waiting = [], 0
        begin = self._resampler.offset_seconds
        samples = self._resampler.take(mixed, last=last)
        for at in range(0, len(samples), self._wanted_hertz):
            offset = begin + at / self._wanted_hertz
            piece = samples[at : at + self._wanted_hertz]
            self._put(SoundPiece(piece, offset, NO_SPEECH, self._source.received))

    def _wrong(self, description: str) -> errors.InvalidArgument:
        return errors.InvalidArgument.field(self._field, description)


def _skip_tags(source: Source, field: str) -> int:
    """Read past ID3v2 tags, and the zeros that may follow one; FFmpeg would keep the pictures in them in memory.

    Gives the bytes that were skipped.
    """
    skipped = 0
    for _ in range(MAX_ID3_TAGS):
        size = id3_bytes(source.peek(ID3_HEADER_BYTES))
        if not size:
            break
        if size > _MAX_BYTES_A_FRAME:
            raise errors.InvalidArgument.field(field, f"takes tags of at most {_MAX_BYTES_A_FRAME} bytes")
        skipped += size
        while size and (piece := source.read(size)):
            size -= len(piece)
    zeros = MAX_PADDING_BYTES if skipped else 0
    while zeros and (piece := source.read(zeros)):
        rest = piece.lstrip(b"\0")
        skipped += len(piece) - len(rest)
        zeros -= len(piece) - len(rest)
        if rest:
            source.unread(rest)
            break
    return skipped


def _declared_bytes(kind: Container, head: bytes) -> int:
    """How long the file says that it is at least, 0 when it does not say.  head: its first bytes."""
    riff = kind is WAV and head[:4] == b"RIFF"
    return 8 + (known(int.from_bytes(head[4:8], "little")) or 0) if riff else 0
