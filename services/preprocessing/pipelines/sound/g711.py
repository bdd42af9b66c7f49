"""The samples that the bytes of G.711 mean (ITU-T G.711, tables 1a and 2a), full scale 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CODES = np.arange(256)
# Of 16-bit samples, into which decoders shift the 14 bits of mu-law and the 13 of A-law.
_FULL_SCALE = 32768


def _mulaw() -> NDArray[np.float32]:
    """float32[256]: all bits are sent inverted; sign, three bits of exponent, four of mantissa, and a bias of 33."""
    codes = ~_CODES & 0xFF
    magnitude = (((codes & 0x0F) * 2 + 33 << (codes >> 4 & 7)) - 33) * 4
    return _signed(magnitude, negative=codes >= 0x80)  # noqa: PLR2004 - the first bit


def _alaw() -> NDArray[np.float32]:
    """float32[256]: every other bit is sent inverted; the two lowest exponents share one step."""
    codes = _CODES ^ 0x55
    exponent = codes >> 4 & 7
    mantissa = (codes & 0x0F) * 2 + 1 + np.where(exponent > 0, 32, 0)
    return _signed((mantissa << np.maximum(exponent - 1, 0)) * 8, negative=codes < 0x80)  # noqa: PLR2004 - as above


def _signed(magnitude: NDArray[np.int64], *, negative: NDArray[np.bool_]) -> NDArray[np.float32]:
    return (np.where(negative, -magnitude, magnitude) / _FULL_SCALE).astype(np.float32)


MULAW = _mulaw()
ALAW = _alaw()
