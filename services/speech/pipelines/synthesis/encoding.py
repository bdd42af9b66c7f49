"""Sound into bytes, while it is made: gain, resampling, and the encodings of the contract."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from services.mesh import errors

AudioEncoding = Literal["wav", "linear16", "flac", "ogg_opus", "mp3", "mulaw", "alaw"]

LOWEST_HERTZ, HIGHEST_HERTZ = 8_000, 48_000
QUIETEST_DB, LOUDEST_DB = -40.0, 16.0
_TELEPHONE_HERTZ = 8_000
# What the codecs know. None: every rate.
_RATES: Mapping[AudioEncoding, tuple[int, ...]] = {
    "ogg_opus": (8_000, 12_000, 16_000, 24_000, 48_000),
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
}
_BITS_PER_SECOND = {"ogg_opus": 32_000, "mp3": 64_000}
# From here on the loudest are pressed together instead of cut off.
_KNEE = 0.9
# Length of what a header leaves open.
_OPEN = 0xFFFFFFFF


def check_rate(encoding: AudioEncoding, sample_rate_hertz: int) -> None:
    """Raises InvalidArgument naming sample_rate_hertz and the rates that the encoding has. 0 is always right."""
    if not sample_rate_hertz:
        return
    rates = _RATES.get(encoding)
    if rates is not None and sample_rate_hertz not in rates:
        listing = ", ".join(map(str, rates))
        raise errors.InvalidArgument.field(
            "sample_rate_hertz", f"takes {listing} for {encoding.upper()}, got {sample_rate_hertz}"
        )
    if not LOWEST_HERTZ <= sample_rate_hertz <= HIGHEST_HERTZ:
        raise errors.InvalidArgument.field(
            "sample_rate_hertz", f"takes {LOWEST_HERTZ} to {HIGHEST_HERTZ}, got {sample_rate_hertz}"
        )


@dataclass(frozen=True, slots=True)
class Output:
    """How the sound is wanted. sample_rate_hertz: 0 for the model's own, or that of telephones for their codecs."""

    encoding: AudioEncoding = "wav"
    sample_rate_hertz: int = 0
    volume_gain_db: float = 0.0

    def check(self) -> None:
        """Raises InvalidArgument naming the field that is out of its limits."""
        check_rate(self.encoding, self.sample_rate_hertz)
        if not QUIETEST_DB <= self.volume_gain_db <= LOUDEST_DB:
            raise errors.InvalidArgument.field(
                "volume_gain_db", f"takes {QUIETEST_DB:g} to {LOUDEST_DB:g} decibel, got {self.volume_gain_db:g}"
            )

    def rate_for(self, model_hertz: int) -> int:
        """Samples a second of the output."""
        if self.sample_rate_hertz:
            return self.sample_rate_hertz
        return _TELEPHONE_HERTZ if self.encoding in {"mulaw", "alaw"} else model_hertz


class Encoder:
    """Takes float32 samples of a model, piece by piece, and gives the bytes of one file. For one thread at a time."""

    def __init__(self, output: Output, model_hertz: int, *, whole: bool) -> None:
        """whole: all bytes come at the end, with the length in their header; otherwise as soon as they can."""
        self._gain = 10 ** (output.volume_gain_db / 20)
        self.sample_rate_hertz = output.rate_for(model_hertz)
        self._resampler = (
            soxr.ResampleStream(model_hertz, self.sample_rate_hertz, 1, dtype="float32")
            if self.sample_rate_hertz != model_hertz
            else None
        )
        self._format: _Raw | _Container = (
            _Container(output.encoding, self.sample_rate_hertz, whole=whole)
            if output.encoding in {"flac", "ogg_opus", "mp3"}
            else _Raw(output.encoding, self.sample_rate_hertz, whole=whole)
        )
        self.samples_written = 0

    def encode(self, samples: NDArray[np.float32], *, last: bool = False) -> bytes:
        """The bytes that are ready with these samples. last: all that are left; nothing may follow."""
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(np.ascontiguousarray(samples, np.float32), last=last)
        limited = soft_limit(samples * np.float32(self._gain))
        integers = np.round(limited * np.iinfo(np.int16).max).astype(np.int16)
        self.samples_written += len(integers)
        return self._format.write(integers, last=last)


def soft_limit(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Below the knee as it is; above, bent so that nothing exceeds full scale.  float32[T] -> float32[T]."""
    size = np.abs(samples)
    if not size.size or size.max() <= _KNEE:
        return samples
    room = 1 - _KNEE
    bent = np.sign(samples) * (_KNEE + room * np.tanh((size - _KNEE) / room))
    return np.where(size > _KNEE, bent, samples).astype(np.float32)


class _Raw:
    """Samples one after the other, with a header before them when the file is WAV."""

    def __init__(self, encoding: AudioEncoding, sample_rate_hertz: int, *, whole: bool) -> None:
        self._rate = sample_rate_hertz
        self._whole = whole
        self._is_wav = encoding == "wav"
        self._codec = _telephone_codec(encoding, sample_rate_hertz) if encoding in {"mulaw", "alaw"} else None
        self._kept: list[bytes] = []
        self._begun = False

    def write(self, samples: NDArray[np.int16], *, last: bool) -> bytes:
        content = self._bytes(samples)
        if self._whole:
            self._kept.append(content)
            if not last:
                return b""
            content = b"".join(self._kept)
        header = b""
        if self._is_wav and not self._begun:
            header = _wav_header(self._rate, len(content) if self._whole else None)
        self._begun = True
        return header + content

    def _bytes(self, samples: NDArray[np.int16]) -> bytes:
        if self._codec is None:
            return samples.astype("<i2").tobytes()
        if not len(samples):
            return b""
        return b"".join(bytes(packet) for packet in self._codec.encode(_frame(samples, self._rate)))


def _telephone_codec(encoding: AudioEncoding, sample_rate_hertz: int) -> av.AudioCodecContext:
    codec = av.AudioCodecContext.create(f"pcm_{encoding}", "w")
    assert isinstance(codec, av.AudioCodecContext)  # noqa: S101 - for the type checker, which is told less
    codec.sample_rate, codec.layout, codec.format = sample_rate_hertz, av.AudioLayout("mono"), av.AudioFormat("s16")
    return codec


def _wav_header(sample_rate_hertz: int, data_bytes: int | None) -> bytes:
    """Of 16-bit samples of one channel. data_bytes: None when nobody knows yet."""
    size = _OPEN if data_bytes is None else data_bytes
    return b"".join(
        (
            struct.pack("<4sI4s", b"RIFF", min(_OPEN, size + 36), b"WAVE"),
            struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate_hertz, 2 * sample_rate_hertz, 2, 16),
            struct.pack("<4sI", b"data", size),
        )
    )


class _Container:
    """A file of FFmpeg's: FLAC, Opus in OGG, or MP3."""

    _FORMATS: Mapping[str, tuple[str, str]] = {
        "flac": ("flac", "flac"),
        "ogg_opus": ("ogg", "libopus"),
        "mp3": ("mp3", "libmp3lame"),
    }

    def __init__(self, encoding: AudioEncoding, sample_rate_hertz: int, *, whole: bool) -> None:
        name, codec = self._FORMATS[encoding]
        options = {"write_xing": str(int(whole))} if name == "mp3" else {}
        if name == "ogg" and not whole:
            options["page_duration"] = "200000"  # microseconds; a second otherwise
        self._whole = whole
        self._sink = io.BytesIO() if whole else _Pipe()
        self._file = av.open(self._sink, "w", format=name, options={**options, "flush_packets": "1"})
        stream = self._file.add_stream(codec, rate=sample_rate_hertz)
        assert isinstance(stream, av.AudioStream)  # noqa: S101 - for the type checker: these are codecs of sound
        stream.layout = "mono"
        if encoding in _BITS_PER_SECOND:
            stream.bit_rate = _BITS_PER_SECOND[encoding]
        self._stream, self._rate, self._written = stream, sample_rate_hertz, 0

    def write(self, samples: NDArray[np.int16], *, last: bool) -> bytes:
        if len(samples):
            frame = _frame(samples, self._rate)
            frame.pts, self._written = self._written, self._written + len(samples)
            self._file.mux(self._stream.encode(frame))
        if last:
            self._file.mux(self._stream.encode(None))
            self._file.close()
        if isinstance(self._sink, _Pipe):
            return self._sink.take()
        return self._sink.getvalue() if last else b""


class _Pipe:
    """A file that can only be written: FFmpeg leaves open in its headers what it would go back for."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._written.append(bytes(content))
        return len(content)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def _frame(samples: NDArray[np.int16], sample_rate_hertz: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate, frame.time_base = sample_rate_hertz, Fraction(1, sample_rate_hertz)
    return frame
