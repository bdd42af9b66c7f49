"""The rules for what is asked of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.mesh import errors
from services.mesh.ports import Region, Target
from services.mesh.request import fraction

MAX_TARGETS = 32
MAX_TARGET_SIDE = 4096
MAX_REGIONS = 1000
# What an answer can carry: 48 MiB of pixels.
MAX_ANSWER_PIXELS = 4096 * 4096

# Fractions went through 32 bits and through arithmetic on their way; so much beyond an edge is the edge.
_ROUNDING = 1e-6


def check_targets(
    targets: Sequence[Target],
    *,
    field: str = "targets",
    fewest: int = 1,
    most: int = MAX_TARGETS,
    max_pixels: int = MAX_ANSWER_PIXELS,
) -> list[Target]:
    """The targets with their defaults filled in; a crop_fraction of 0 stands for 1.

    field: names their list in errors. Raises InvalidArgument when there are too few or too many, when they have more
    than max_pixels in all, or when one has a size, share or region out of range.
    """
    require_count(field, targets, "targets", fewest=fewest, most=most)
    checked = [_target(f"{field}[{index}]", target) for index, target in enumerate(targets)]
    pixels = sum(target.width * target.height for target in checked)
    if pixels > max_pixels:
        raise errors.InvalidArgument.field(field, f"takes targets of {max_pixels} pixels in all, got {pixels}")
    return checked


def check_regions(regions: Sequence[Region]) -> list[Region]:
    """The regions, cut at the edges of the picture; those that lie outside it are left out.

    Raises InvalidArgument when there are none or too many, or when one has no sides, or a side before its other side.
    """
    require_count("regions", regions, "places", most=MAX_REGIONS)
    for index, region in enumerate(regions):
        if not (region.x_min <= region.x_max and region.y_min <= region.y_max):  # nor for NaN
            raise errors.InvalidArgument.field(
                f"regions[{index}]", "takes an x_max not less than x_min, and a y_max not less than y_min"
            )
    cut = [_cut(region) for region in regions]
    return [region for region in cut if region.x_min < region.x_max and region.y_min < region.y_max]


def require_count(field: str, items: Sequence[object], things: str, *, fewest: int = 1, most: int) -> None:
    """Raise InvalidArgument when a list has too few items or too many. Ask it before each of them is looked at."""
    if not fewest <= len(items) <= most:
        raise errors.InvalidArgument.field(field, f"takes {fewest} to {most} {things}, got {len(items)}")


def _target(field: str, target: Target) -> Target:
    for name, side in (("width", target.width), ("height", target.height)):
        if not 1 <= side <= MAX_TARGET_SIDE:
            raise errors.InvalidArgument.field(f"{field}.{name}", f"takes 1 to {MAX_TARGET_SIDE}, got {side}")
    share = fraction(f"{field}.crop_fraction", target.crop_fraction, default=1.0)
    region = target.region
    if region is None:
        return replace(target, crop_fraction=share)
    low, high = -_ROUNDING, 1 + _ROUNDING
    if not (low <= region.x_min <= region.x_max <= high and low <= region.y_min <= region.y_max <= high):
        raise errors.InvalidArgument.field(
            f"{field}.region", "takes 0 <= x_min <= x_max <= 1 and 0 <= y_min <= y_max <= 1"
        )
    return replace(target, crop_fraction=share, region=_cut(region))


def _cut(region: Region) -> Region:
    return Region(*(min(1.0, max(0.0, side)) for side in (region.x_min, region.y_min, region.x_max, region.y_max)))
