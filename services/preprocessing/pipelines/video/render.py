"""Renders frames of a video as pictures are rendered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from services.mesh.ports import Pixels, Target
from services.preprocessing.pipelines.geometry import QUARTER_TURNED, Plan, Size, plan, stored_box
from services.preprocessing.pipelines.image.opened import Decoded, upright
from services.preprocessing.pipelines.image.render import rendered

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData

# Where a display matrix sends x (right, down) and y (right, down), and the EXIF orientation that means the same.
_TURNS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_MATRIX_NUMBERS = 9


class Renderer:
    """Frames to pixels, once for each target, upright."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._reformatter = VideoReformatter()
        self._planned_for: tuple[int, int, int] | None = None
        self._turn = 1
        self._size: Size = (0, 0)
        self._plans: list[Plan] = []

    def render(self, frame: av.VideoFrame) -> tuple[Pixels, ...]:
        """One for each target."""
        kind = (frame.width, frame.height, frame.rotation)
        if kind != self._planned_for:
            self._planned_for = kind
            # Not asked of every frame: one whose side data was looked at stays until garbage is collected.
            self._turn = _turn(frame)
            turned = self._turn in QUARTER_TURNED
            self._size = (frame.height, frame.width) if turned else (frame.width, frame.height)
            self._plans = [plan(self._size, target) for target in self._targets]
        return tuple(self._rendered(frame, each) for each in self._plans)

    def _rendered(self, frame: av.VideoFrame, planned: Plan) -> Pixels:
        size, turn = self._size, self._turn
        if planned.shrinks_by < 1:
            return rendered(Decoded(Image.fromarray(self._rgb(frame, frame.width, frame.height)), size, turn), planned)
        # FFmpeg shrinks in the pass that makes the frame RGB, all of it; what is not wanted is cut off, to the pixel.
        left, top, right, bottom = stored_box(planned.box, size, turn)
        width, height = planned.width, planned.height
        if turn in QUARTER_TURNED:
            width, height = height, width
        across, down = width / (right - left), height / (bottom - top)
        whole = self._rgb(frame, max(width, round(frame.width * across)), max(height, round(frame.height * down)))
        x = min(round(left * across), whole.shape[1] - width)
        y = min(round(top * down), whole.shape[0] - height)
        cut = np.ascontiguousarray(whole[y : y + height, x : x + width])
        pixels = cut if turn == 1 else np.asarray(upright(Image.fromarray(cut), turn))
        if pixels.shape[:2] != (planned.canvas_height, planned.canvas_width):
            canvas = np.zeros((planned.canvas_height, planned.canvas_width, 3), np.uint8)
            canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
            pixels = canvas
        return Pixels(pixels, *size, planned.region)

    def _rgb(self, frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
        """uint8[height, width, 3]."""
        made = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", threads=1)
        return cast("NDArray[np.uint8]", made.to_ndarray())


def _turn(frame: av.VideoFrame) -> int:
    """The EXIF orientation that means what the frame's display matrix says; 1 for none, or a slanted one."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return 1
    numbers = np.frombuffer(bytes(cast("SideData", found)), np.int32)  # of 16 bits before the point and 16 behind it
    if len(numbers) != _MATRIX_NUMBERS:
        return 1
    a, b, c, d = (round(int(numbers[at]) / 65536) for at in (0, 1, 3, 4))
    return _TURNS.get((a, b, c, d), 1)
