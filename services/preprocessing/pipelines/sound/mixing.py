"""Mixes the channels of decoded sound to one."""

from __future__ import annotations

from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.preprocessing.pipelines.sound.opened import check_kind

# How loud a channel is in the mix, before the weights are brought to a sum of 1: an ordinary downmix of surround sound,
# the mean of stereo and of channels without a place.
_WEIGHTS = {"FC": 1.0, "FL": 0.5**0.5, "FR": 0.5**0.5, "LFE": 0.0, "LFE2": 0.0}
_OTHER_WEIGHT = 0.5

# Full scale of the integers that decoders give; unsigned ones have their zero in the middle.
_FULL_SCALE = {np.dtype(np.uint8): 2**7, np.dtype(np.int16): 2**15, np.dtype(np.int32): 2**31}


class Mixer:
    """Frames of one kind to one channel. rate, channels: theirs."""

    def __init__(self, first: av.AudioFrame, *, field: str) -> None:
        """field: the sound's name in errors. Raises InvalidArgument for a rate or channels out of bounds."""
        check_kind(first.sample_rate, first.layout.nb_channels, field=field)
        names = [channel.name for channel in first.layout.channels]
        weights = np.array([_WEIGHTS.get(name, _OTHER_WEIGHT) for name in names], np.float32)
        self.rate = first.sample_rate
        self.channels = len(names)
        self._field = field
        self._weights = weights / weights.sum() if weights.any() else np.full_like(weights, 1 / len(names))

    def mix(self, frame: av.AudioFrame) -> NDArray[np.float32]:
        """float32[T], full scale 1. Raises InvalidArgument when the sound changes its kind."""
        if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
            raise errors.InvalidArgument.field(self._field, "changes its sample rate or channels midway")
        array = frame.to_ndarray()
        channels = array if frame.format.is_planar else array.reshape(-1, self.channels).T
        full_scale = _FULL_SCALE.get(array.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number is found after resampling
            floats = channels.astype(np.float32)
            mixed = floats[0] if self.channels == 1 else self._weights @ floats
        if full_scale is not None:
            mixed /= full_scale
        if array.dtype == np.uint8:
            mixed -= 1
        return cast("NDArray[np.float32]", mixed)
