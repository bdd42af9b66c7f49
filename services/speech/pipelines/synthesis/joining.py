"""Joins sounds without clicks: the silence that a model puts around its speech goes, exact silence takes its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Speech is what is louder than this part of the loudest of its sound; a breath before it may stay.
_QUIET = 0.01
_PAD_SECONDS = 0.03
_FADE_SECONDS = 0.005


def trimmed(samples: NDArray[np.float32], sample_rate_hertz: int) -> NDArray[np.float32]:
    """The spoken part with a little around it, from and to silence.  float32[T] -> float32[<= T]."""
    size = np.abs(samples)
    loud = np.flatnonzero(size > _QUIET * size.max(initial=0))
    if not loud.size:
        return samples[:0]
    pad = round(_PAD_SECONDS * sample_rate_hertz)
    part = samples[max(0, loud[0] - pad) : loud[-1] + pad + 1].copy()
    fade = min(round(_FADE_SECONDS * sample_rate_hertz), len(part) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    part[:fade] *= ramp
    part[len(part) - fade :] *= ramp[::-1]
    return part


def silence(seconds: float, sample_rate_hertz: int) -> NDArray[np.float32]:
    """Nothing, for so long."""
    return np.zeros(round(seconds * sample_rate_hertz), np.float32)
