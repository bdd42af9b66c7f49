"""Opens a recording that a stranger sent, and turns it into one channel at the rate that a model takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Sound
from services.preprocessing.pipelines.containers import CONTAINERS, MAX_MP4_SAMPLES, MP4, mp4_samples, recognize

FORMATS = tuple(container.name for container in CONTAINERS)
FIELD = "audio.content"

MAX_BYTES = 20 * 1024 * 1024
MAX_SECONDS = 600
# What an answer can carry: 60 MB of samples.
MAX_ANSWER_SAMPLES = 15_000_000
MAX_CHANNELS = 8
SOURCE_HERTZ = (4_000, 192_000)

# FFmpeg's decoders that may run.
_DECODERS = (
    *("aac", "alac", "flac", "mp3", "mp3float", "opus", "vorbis", "pcm_alaw", "pcm_mulaw", "pcm_u8"),
    *("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"),
)
_OPTIONS = {
    "codec_whitelist": ",".join(_DECODERS),
    # No protocol, not even that of files: a demuxer that follows names, were it ever reached, gets nowhere.
    "protocol_whitelist": "",
    # Otherwise FFmpeg reads megabytes of a WAV file to see whether its samples are DTS in disguise.
    "max_probe_packets": "1",
}

# How loud a channel is in the mix, before the weights are brought to a sum of 1: an ordinary downmix of surround sound,
# the mean of stereo and of channels without a place.
_WEIGHTS = {"FC": 1.0, "FL": 0.5**0.5, "FR": 0.5**0.5, "LFE": 0.0, "LFE2": 0.0}
_OTHER_WEIGHT = 0.5

# Full scale of the integers that decoders give; unsigned ones have their zero in the middle.
_FULL_SCALE = {np.dtype(np.uint8): 2**7, np.dtype(np.int16): 2**15, np.dtype(np.int32): 2**31}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as a model takes it, and what it was before: hertz, channels, and the codec's name."""

    sound: Sound
    source_sample_rate_hertz: int
    source_channels: int
    source_codec: str


def convert(content: bytes, *, sample_rate_hertz: int, deadline: Deadline) -> Recording:
    """Decode, mix to one channel and resample.

    Raises InvalidArgument for anything that is not a sound recording within the limits above, as soon as a limit is
    passed, and DeadlineExceeded when it takes longer than the caller waits.
    """
    with _open(content) as container:
        stream = _sound_stream(container)
        mixer: _Mixer | None = None
        for frame in _frames(container, stream):
            mixer = mixer or _Mixer(frame, sample_rate_hertz)
            mixer.add(frame)
            if mixer.pending >= mixer.rate:
                deadline.require_seconds()
                mixer.flush()
        codec = stream.codec_context.codec.canonical_name
    if mixer is None:
        raise errors.InvalidArgument.field(FIELD, "holds no sound")
    samples = mixer.finish()
    return Recording(Sound(samples, sample_rate_hertz, mixer.count / mixer.rate), mixer.rate, mixer.channels, codec)


def _open(content: bytes) -> av.container.InputContainer:
    """The recording with its headers read. FFmpeg can open nothing beside it, and run no decoder beside those above."""
    if not 1 <= len(content) <= MAX_BYTES:
        raise errors.InvalidArgument.field(FIELD, f"takes 1 to {MAX_BYTES} bytes, got {len(content)}")
    container = recognize(content)
    if container is None:
        raise errors.InvalidArgument.field(FIELD, f"is none of {', '.join(FORMATS)}")
    if container is MP4 and mp4_samples(content) > MAX_MP4_SAMPLES:
        raise errors.InvalidArgument.field(FIELD, f"takes an MP4 of at most {MAX_MP4_SAMPLES} samples")
    try:
        return av.open(
            io.BytesIO(content),
            "r",
            format=container.demuxer,
            container_options=_OPTIONS,
            metadata_errors="replace",
            io_open=_refuse,
        )
    except Exception:  # noqa: BLE001 - hostile bytes make PyAV raise ValueError, OverflowError and others
        raise errors.InvalidArgument.field(FIELD, f"begins like {container.name}, but is damaged") from None


def _refuse(_url: str, _flags: int, _options: dict[str, str]) -> io.BytesIO:
    """What FFmpeg is told when a file names another one."""
    raise PermissionError("a recording may not name other files")


def _sound_stream(container: av.container.InputContainer) -> av.AudioStream:
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        raise errors.InvalidArgument.field(FIELD, "holds no sound")
    decoder = stream.codec_context
    if decoder is None or decoder.name not in _DECODERS:
        raise errors.InvalidArgument.field(FIELD, "has a codec other than PCM, FLAC, ALAC, Vorbis, Opus, MP3 or AAC")
    _check_kind(decoder.sample_rate, decoder.layout.nb_channels)
    decoder.thread_count = 1
    return stream


def _check_kind(sample_rate_hertz: int, channels: int) -> None:
    low, high = SOURCE_HERTZ
    if not low <= sample_rate_hertz <= high:
        raise errors.InvalidArgument.field(FIELD, f"takes {low} to {high} samples a second, got {sample_rate_hertz}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise errors.InvalidArgument.field(FIELD, f"takes 1 to {MAX_CHANNELS} channels, got {channels}")


def _frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    try:
        yield from (frame for frame in container.decode(stream) if frame.samples)
    except Exception:  # noqa: BLE001 - as in `_open`
        raise errors.InvalidArgument.field(FIELD, "is damaged") from None


class _Mixer:
    """Frames in, one channel at the wanted rate out, a second at a time, so that only the answer grows."""

    def __init__(self, first: av.AudioFrame, wanted_rate: int) -> None:
        _check_kind(first.sample_rate, first.layout.nb_channels)
        names = [channel.name for channel in first.layout.channels]
        weights = np.array([_WEIGHTS.get(name, _OTHER_WEIGHT) for name in names], np.float32)
        self.rate = first.sample_rate
        self.channels = len(names)
        self.count = 0
        self.pending = 0
        self._weights = weights / weights.sum() if weights.any() else np.full_like(weights, 1 / len(names))
        self._resampler = (
            None if self.rate == wanted_rate else soxr.ResampleStream(self.rate, wanted_rate, 1, dtype="float32")
        )
        seconds = min(MAX_SECONDS, MAX_ANSWER_SAMPLES // wanted_rate)
        self._limit = seconds * self.rate
        self._rule = f"takes at most {seconds} seconds of sound" + (
            f" at {wanted_rate} samples a second" if seconds < MAX_SECONDS else ""
        )
        self._waiting: list[NDArray[np.float32]] = []
        self._done: list[NDArray[np.float32]] = []

    def add(self, frame: av.AudioFrame) -> None:
        """Take a frame in. Raises InvalidArgument when the recording gets too long, or changes its kind."""
        if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
            raise errors.InvalidArgument.field(FIELD, "changes its sample rate or channels midway")
        self.count += frame.samples
        self.pending += frame.samples
        if self.count > self._limit:
            raise errors.InvalidArgument.field(FIELD, self._rule)
        self._waiting.append(self._mix(frame))

    def _mix(self, frame: av.AudioFrame) -> NDArray[np.float32]:
        """float32[T], full scale 1."""
        array = frame.to_ndarray()
        channels = array if frame.format.is_planar else array.reshape(-1, self.channels).T
        full_scale = _FULL_SCALE.get(array.dtype)
        mixed = channels[0].astype(np.float32) if self.channels == 1 else self._weights @ channels.astype(np.float32)
        if full_scale is not None:
            mixed /= full_scale
        if array.dtype == np.uint8:
            mixed -= 1
        return cast("NDArray[np.float32]", mixed)

    def flush(self, *, last: bool = False) -> None:
        """Resample what has come in."""
        waiting = np.concatenate(self._waiting) if self._waiting else np.empty(0, np.float32)
        self._done.append(waiting if self._resampler is None else self._resampler.resample_chunk(waiting, last=last))
        self._waiting = []
        self.pending = 0

    def finish(self) -> NDArray[np.float32]:
        """The whole, within -1..1. Raises InvalidArgument when there are samples that are no numbers."""
        self.flush(last=True)
        samples = np.concatenate(self._done)
        np.clip(samples, -1, 1, out=samples)
        if np.isnan(samples.sum()):
            raise errors.InvalidArgument.field(FIELD, "has samples that are not numbers")
        return samples
