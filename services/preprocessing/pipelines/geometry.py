"""Where the pixels of a wanted picture come from."""

from __future__ import annotations

from dataclasses import dataclass

from services.mesh.ports import Fit, Region

Box = tuple[float, float, float, float]


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


def plan(source: tuple[int, int], wanted: tuple[int, int], fit: Fit, crop_fraction: float) -> Plan:
    """How to bring a picture of one (width, height) to another.

    crop_fraction: with "cover", the share of the largest centred crop that is used, above 0 to 1.
    """
    source_width, source_height = source
    width, height = wanted
    if fit == "contain":
        scale = min(width / source_width, height / source_height)
        inner_width = max(1, round(source_width * scale))
        inner_height = max(1, round(source_height * scale))
        region = Region(0, 0, width / inner_width, height / inner_height)
        return Plan((0, 0, source_width, source_height), inner_width, inner_height, width, height, region)
    used_width: float = source_width
    used_height: float = source_height
    if fit == "cover":
        # At least one pixel of the source, however small the share.
        used_width = max(1, min(source_width, source_height * width / height) * crop_fraction)
        used_height = max(1, min(source_height, source_width * height / width) * crop_fraction)
    left = (source_width - used_width) / 2
    top = (source_height - used_height) / 2
    box = (left, top, left + used_width, top + used_height)
    region = Region(left / source_width, top / source_height, box[2] / source_width, box[3] / source_height)
    return Plan(box, width, height, width, height, region)
