"""Where samples, bytes and seconds meet in a transcript that may take several calls."""

from __future__ import annotations

from services.mesh.ports import AudioFormat
from services.speech.pipelines.live.plan import Resumption
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ


class Timeline:
    """Samples are counted from the first one that this call hears, 16,000 a second."""

    def __init__(self, audio_format: AudioFormat, resume: Resumption | None) -> None:
        per_second = audio_format.bytes_per_second
        self._rate = audio_format.sample_rate_hertz
        self._frame = 0 if per_second is None else round(per_second / self._rate)
        self._first_byte = resume.acknowledged_bytes if resume else 0
        # A resampler keeps some 920 samples of its source to itself until more come; so much is not waited for.
        self.kept_back = max(1600, 1000 * SAMPLE_RATE_HERTZ // self._rate) if self._frame else 0
        # A container is sent again from its beginning; what was accounted for is decoded, and not heard.
        self.skipped = 0
        if resume and not self._frame:
            self.skipped = round(resume.acknowledged_seconds * SAMPLE_RATE_HERTZ)

    @property
    def exact(self) -> bool:
        """Whether bytes tell samples."""
        return self._frame > 0

    def seconds(self, sample: int) -> float:
        """From the beginning of the transcript."""
        before = self._first_byte / self._frame / self._rate if self._frame else 0.0
        return before + sample / SAMPLE_RATE_HERTZ

    def acknowledged(self, sample: int) -> tuple[int, float]:
        """The byte, and the second, from which on a client that comes back must send: on a whole frame, never later."""
        if not self._frame:
            return 0, sample / SAMPLE_RATE_HERTZ
        frames = self._first_byte // self._frame + sample * self._rate // SAMPLE_RATE_HERTZ
        return frames * self._frame, frames / self._rate

    def sample(self, received: int) -> int:
        """How many samples so many bytes of this call are. Only where `exact`."""
        return received // self._frame * SAMPLE_RATE_HERTZ // self._rate
