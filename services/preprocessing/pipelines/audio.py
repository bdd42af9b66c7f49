"""Opens a recording that a stranger sent, and turns it into one channel at the rate that a model takes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.container
import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Sound
from services.preprocessing.pipelines.containers import CONTAINERS, MAX_MP4_SAMPLES, MP4, mp4_samples, recognize
from services.preprocessing.pipelines.sound.mixing import Mixer
from services.preprocessing.pipelines.sound.opened import open_container, sound_stream
from services.preprocessing.pipelines.sound.resampling import Resampler

FORMATS = tuple(container.name for container in CONTAINERS)
FIELD = "audio.content"

MAX_BYTES = 20 * 1024 * 1024
MAX_SECONDS = 600
# What an answer can carry: 60 MB of samples.
MAX_ANSWER_SAMPLES = 15_000_000


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
        stream = sound_stream(container, field=FIELD)
        mixdown: _Mixdown | None = None
        for frame in _frames(container, stream):
            mixdown = mixdown or _Mixdown(frame, sample_rate_hertz)
            mixdown.add(frame)
            if mixdown.pending >= mixdown.mixer.rate:
                deadline.require_seconds()
                mixdown.flush()
        codec = stream.codec_context.codec.canonical_name
    if mixdown is None:
        raise errors.InvalidArgument.field(FIELD, "holds no sound")
    samples, mixer = mixdown.finish(), mixdown.mixer
    return Recording(
        Sound(samples, sample_rate_hertz, mixdown.resampler.duration_seconds), mixer.rate, mixer.channels, codec
    )


def _open(content: bytes) -> av.container.InputContainer:
    if not 1 <= len(content) <= MAX_BYTES:
        raise errors.InvalidArgument.field(FIELD, f"takes 1 to {MAX_BYTES} bytes, got {len(content)}")
    container = recognize(content)
    if container is None:
        raise errors.InvalidArgument.field(FIELD, f"is none of {', '.join(FORMATS)}")
    if container is MP4 and mp4_samples(content) > MAX_MP4_SAMPLES:
        raise errors.InvalidArgument.field(FIELD, f"takes an MP4 of at most {MAX_MP4_SAMPLES} samples")
    return open_container(io.BytesIO(content), container, field=FIELD)


def _frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    try:
        yield from (frame for frame in container.decode(stream) if frame.samples)
    except Exception:  # noqa: BLE001 - hostile bytes make PyAV raise ValueError, OverflowError and others
        raise errors.InvalidArgument.field(FIELD, "is damaged") from None


class _Mixdown:
    """Frames in, one channel at the wanted rate out, a second at a time, so that only the answer grows.

    pending: samples that wait to be resampled.
    """

    def __init__(self, first: av.AudioFrame, wanted_rate: int) -> None:
        self.mixer = Mixer(first, field=FIELD)
        self.resampler = Resampler(self.mixer.rate, wanted_rate, field=FIELD)
        self.pending = 0
        seconds = min(MAX_SECONDS, MAX_ANSWER_SAMPLES // wanted_rate)
        self._limit = seconds * self.mixer.rate
        self._rule = f"takes at most {seconds} seconds of sound" + (
            f" at {wanted_rate} samples a second" if seconds < MAX_SECONDS else ""
        )
        self._waiting: list[NDArray[np.float32]] = []
        self._done: list[NDArray[np.float32]] = []

    def add(self, frame: av.AudioFrame) -> None:
        """Take a frame in. Raises InvalidArgument when the recording gets too long, or changes its kind."""
        self.pending += frame.samples
        if self.resampler.count + self.pending > self._limit:
            raise errors.InvalidArgument.field(FIELD, self._rule)
        self._waiting.append(self.mixer.mix(frame))

    def flush(self, *, last: bool = False) -> None:
        """Resample what has come in. Raises InvalidArgument when there are samples that are no numbers."""
        waiting = np.concatenate(self._waiting) if self._waiting else np.empty(0, np.float32)
        self._done.append(self.resampler.take(waiting, last=last))
        self._waiting = []
        self.pending = 0

    def finish(self) -> NDArray[np.float32]:
        """The whole, within -1..1."""
        self.flush(last=True)
        return np.concatenate(self._done)
