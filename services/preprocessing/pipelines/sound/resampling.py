"""One channel at its own rate in, samples at the wanted rate out, while they come."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from services.mesh import errors


class Resampler:
    """The samples of one stream.

    count: samples that came in. Between two rates soxr works in blocks: until more comes, or the end, up to 40
    milliseconds are held back between 44,100 or 48,000 and 16,000 hertz, up to 115 (mostly 60) between 8000 and 16,000.
    """

    def __init__(self, source_hertz: int, wanted_hertz: int, *, field: str) -> None:
        """field: the stream's name in errors."""
        self.source_hertz = source_hertz
        self.wanted_hertz = wanted_hertz
        self.count = 0
        self._field = field
        self._made = 0
        self._stream = (
            None
            if source_hertz == wanted_hertz
            else soxr.ResampleStream(source_hertz, wanted_hertz, 1, dtype="float32")
        )

    @property
    def offset_seconds(self) -> float:
        """When the next sample that comes out sounds."""
        return self._made / self.wanted_hertz

    @property
    def duration_seconds(self) -> float:
        """Of what came in."""
        return self.count / self.source_hertz

    def take(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """What comes out, within -1..1. Raises InvalidArgument for samples that are not finite numbers."""
        self.count += len(samples)
        with np.errstate(over="ignore", invalid="ignore"):
            made = samples if self._stream is None else self._stream.resample_chunk(samples, last=last)
            if not np.isfinite(made).all():
                raise errors.InvalidArgument.field(self._field, "has samples that are not numbers")
        self._made += len(made)
        return np.clip(made, -1, 1)
