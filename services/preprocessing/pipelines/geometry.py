"""Where the pixels of a wanted picture come from."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.ports import Region, Target

Box = tuple[float, float, float, float]
Size = tuple[int, int]

# EXIF orientations whose stored picture is as wide as the upright one is high.
QUARTER_TURNED = frozenset({5, 6, 7, 8})
# Those of which a place on the left, or at the top, of the upright picture is stored at the other end.
_MIRRORED_ACROSS = frozenset({2, 3, 6, 7})
_MIRRORED_DOWN = frozenset({3, 4, 7, 8})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a picture is cut and scaled; all sizes in pixels, upright.

    box: left, top, right and bottom of the part that is used.
    width, height: what that part is scaled to.
    canvas_width, canvas_height: what it is laid on, at the top left.
    region: what the whole canvas shows, in fractions of the picture.
    """

    box: Box
    width: int
    height: int
    canvas_width: int
    canvas_height: int
    region: Region

    @property
    def shrinks_by(self) -> float:
        """Source pixels for one pixel, along the side that shrinks least."""
        left, top, right, bottom = self.box
        return min((right - left) / self.width, (bottom - top) / self.height)


def plan(source: Size, target: Target) -> Plan:
    """How to bring a picture of that width and height to a target.

    Of the region, and of what "cover" leaves of it, at least one pixel of the source is used, however small it is.
    """
    left, top, right, bottom = _part(source, target.region)
    used_width, used_height = right - left, bottom - top
    width, height = target.width, target.height
    if target.fit in {"contain", "inside"}:
        scale = min(width / used_width, height / used_height)
        if target.fit == "inside":
            scale = min(1.0, scale)
        inner_width, inner_height = max(1, round(used_width * scale)), max(1, round(used_height * scale))
        canvas = (width, height) if target.fit == "contain" else (inner_width, inner_height)
        shown = (
            left,
            top,
            left + used_width * canvas[0] / inner_width,
            top + used_height * canvas[1] / inner_height,
        )
        return Plan((left, top, right, bottom), inner_width, inner_height, *canvas, _region(source, shown))
    if target.fit == "cover":
        cut_width = max(1.0, min(used_width, used_height * width / height) * target.crop_fraction)
        cut_height = max(1.0, min(used_height, used_width * height / width) * target.crop_fraction)
        left, top = left + (used_width - cut_width) / 2, top + (used_height - cut_height) / 2
        right, bottom = left + cut_width, top + cut_height
    box = (left, top, right, bottom)
    return Plan(box, width, height, width, height, _region(source, box))


def stored_box(box: Box, source: Size, turn: int) -> Box:
    """A box on an upright picture of that width and height, on the picture as it is stored.

    turn: the EXIF orientation, 1 to 8, which says how the stored picture becomes upright.
    """
    width, height = source
    left, top, right, bottom = box
    if turn in _MIRRORED_ACROSS:
        left, right = width - right, width - left
    if turn in _MIRRORED_DOWN:
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if turn in QUARTER_TURNED else (left, top, right, bottom)


def _part(source: Size, region: Region | None) -> Box:
    """A region in pixels, widened to one pixel where it is smaller."""
    if region is None:
        return (0, 0, *source)
    left, right = _span(region.x_min * source[0], region.x_max * source[0], source[0])
    top, bottom = _span(region.y_min * source[1], region.y_max * source[1], source[1])
    return (left, top, right, bottom)


def _span(low: float, high: float, most: int) -> tuple[float, float]:
    if high - low >= 1:
        return low, high
    low = min(max(0.0, (low + high - 1) / 2), most - 1.0)
    return low, low + 1


def _region(source: Size, box: Box) -> Region:
    width, height = source
    return Region(box[0] / width, box[1] / height, box[2] / width, box[3] / height)
