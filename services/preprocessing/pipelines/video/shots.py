"""Finds where shots begin: where the colours of the pictures change at once."""

from __future__ import annotations

from math import prod
from typing import cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from services.mesh.ports import ShotChange, VideoEvent

Histogram = NDArray[np.float64]

# Frames are looked at in this size, with a histogram for each of so many places along either side. In nine clips the
# eight cuts lay between .54 and .94, what moved below .38, and a plain picture that faded below .47.
_WIDTH, _HEIGHT = 64, 36
_PLACES = 4
_BINS = (16, 4, 8)  # of hue, saturation and value
_CHANGED = 0.5
# Frames whose mean brightness (of 255) is below it say nothing: a shot that fades to black ends where the next begins.
_NEARLY_BLACK = 12
# So long the old picture may come back; then it was a flash.
_FLASH_SECONDS = 0.12


class ShotDetector:
    """Looks at every frame. A shot counts once the old picture stays away; till then its frames are held back."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._last: Histogram | None = None
        self._before: Histogram | None = None
        self._suspect: ShotChange | None = None
        self._held: list[VideoEvent] = []

    def add(self, frame: av.VideoFrame, offset: float, wanted: VideoEvent | None) -> list[VideoEvent]:
        """What may be told now that this frame is known, in order.  wanted: what is to be told of the frame itself."""
        begun = self._begun(frame, offset)
        if wanted is not None and begun is None:
            self._held.append(wanted)
        told: list[VideoEvent] = []
        if begun is not None:
            told = [begun, *self._held, *([] if wanted is None else [wanted])]
        elif self._suspect is None:
            told = self._held
        if told or begun is not None:
            self._held = []
        return told

    def finish(self) -> list[VideoEvent]:
        """What is left to be told when there are no more frames."""
        return self._held if self._suspect is None else [self._suspect, *self._held]

    def _begun(self, frame: av.VideoFrame, offset: float) -> ShotChange | None:
        """A shot that has begun for certain, with this frame or one before."""
        histogram = _histogram(self._small(frame))
        if histogram is None:
            # The old picture has not come back, and frames must not be held for as long as it stays black.
            return self._settled(offset)
        last, self._last = self._last, histogram
        suspect = self._suspect
        if suspect is None:
            if last is not None and (score := distance(last, histogram)) > _CHANGED:
                self._before, self._suspect = last, ShotChange(offset, score)
            return None
        if self._before is not None and distance(self._before, histogram) <= _CHANGED:
            self._suspect = None
        return self._settled(offset)

    def _settled(self, offset: float) -> ShotChange | None:
        """The shot that is suspected to have begun, once a flash would be over."""
        suspect = self._suspect
        if suspect is None or offset - suspect.offset_seconds < _FLASH_SECONDS:
            return None
        self._suspect = None
        return suspect

    def _small(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        small = self._reformatter.reformat(frame, _WIDTH, _HEIGHT, "rgb24", interpolation="FAST_BILINEAR", threads=1)
        return cast("NDArray[np.uint8]", small.to_ndarray())


def _histogram(pixels: NDArray[np.uint8]) -> Histogram | None:
    """uint8[36, 64, 3] RGB -> float64[places, bins], each place of sum 1; None for a picture that is nearly black.

    A pixel between two bins counts in both, so that what fades or flickers a little does not leap from bin to bin.
    """
    hsv = np.asarray(Image.fromarray(pixels).convert("HSV")).reshape(-1, 3)
    if hsv[:, 2].mean() < _NEARLY_BLACK:
        return None
    at = hsv * (np.array(_BINS) / 256) - 0.5
    low = np.floor(at).astype(np.intp)
    above = at - low
    index, weight = _PLACE_OF, np.ones(1)
    for channel, bins in enumerate(_BINS):
        pair = np.stack([low[:, channel], low[:, channel] + 1])
        # Hue is a circle.
        pair = pair % bins if channel == 0 else pair.clip(0, bins - 1)
        shares = np.stack([1 - above[:, channel], above[:, channel]])
        index = (index[..., None, :] * bins + pair).reshape(-1, len(hsv))
        weight = (weight[..., None, :] * shares).reshape(-1, len(hsv))
    places = _PLACES * _PLACES
    counts = np.bincount(index.ravel(), weight.ravel(), minlength=places * prod(_BINS)).reshape(places, -1)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True), np.float64)


def distance(one: Histogram, other: Histogram) -> float:
    """Bhattacharyya distance as OpenCV has it, the mean of all places: 0 for equal, 1 for no colour in common."""
    alike = np.sqrt(one * other).sum(axis=1)
    return float(np.sqrt(np.maximum(0.0, 1.0 - alike)).mean())


# Which place each pixel of a small picture lies in, [1, pixels].
_PLACE_OF = (
    np.arange(_HEIGHT)[:, None] * _PLACES // _HEIGHT * _PLACES + np.arange(_WIDTH) * _PLACES // _WIDTH
).reshape(1, -1)
