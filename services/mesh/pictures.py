"""Pictures and what is asked of them, as messages of preprocessing and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.type.v1 import media_pb2
from services.mesh import tensor
from services.mesh.ports import Fit, Pixels, Redaction, Region, Target

FITS: Mapping[Fit, pb.Fit.ValueType] = {
    "stretch": pb.FIT_STRETCH,
    "cover": pb.FIT_COVER,
    "contain": pb.FIT_CONTAIN,
    "inside": pb.FIT_INSIDE,
}
REDACTIONS: Mapping[Redaction, pb.RedactionMethod.ValueType] = {
    "fill": pb.REDACTION_METHOD_FILL,
    "blur": pb.REDACTION_METHOD_BLUR,
    "pixelate": pb.REDACTION_METHOD_PIXELATE,
}


def target_to_proto(target: Target) -> pb.ImageTarget:
    """What is asked of a picture or frame."""
    return pb.ImageTarget(
        width=target.width,
        height=target.height,
        fit=FITS[target.fit],
        crop_fraction=target.crop_fraction,
        region=None if target.region is None else region_to_proto(target.region),
    )


def pixels_to_proto(pixels: Pixels) -> pb.RenderedImage:
    """A rendering, without the size of its picture."""
    return pb.RenderedImage(pixels=tensor.to_proto(pixels.pixels), source_region=region_to_proto(pixels.source_region))


def pixels_from_proto(rendered: pb.RenderedImage, source_width: int, source_height: int) -> Pixels:
    """A rendering of a picture or frame of that size."""
    pixels = cast("NDArray[np.uint8]", tensor.from_proto(rendered.pixels))
    return Pixels(pixels, source_width, source_height, region_from_proto(rendered.source_region))


def region_to_proto(region: Region) -> media_pb2.BoundingBox:
    """A place on a picture."""
    return media_pb2.BoundingBox(x_min=region.x_min, y_min=region.y_min, x_max=region.x_max, y_max=region.y_max)


def region_from_proto(box: media_pb2.BoundingBox) -> Region:
    """A place on a picture."""
    return Region(box.x_min, box.y_min, box.x_max, box.y_max)
