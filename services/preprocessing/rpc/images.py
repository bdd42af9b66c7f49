"""The RPCs for pictures."""

from __future__ import annotations

from collections.abc import Sequence

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.preprocessing.v1 import preprocessing_pb2_grpc
from services.mesh import tensor
from services.mesh.call import Context
from services.mesh.pictures import FITS, REDACTIONS, pixels_to_proto, region_from_proto, region_to_proto
from services.mesh.ports import Fit, Redaction, Target
from services.mesh.request import one_of, request_id
from services.mesh.server import budget
from services.preprocessing.pipelines.image.checks import MAX_REGIONS, MAX_TARGETS, require_count
from services.preprocessing.pipelines.inputs import InputPipelines
from services.preprocessing.rpc.content import content_of

_FITS: dict[int, Fit] = {value: fit for fit, value in FITS.items()}
_FITS[pb.FIT_UNSPECIFIED] = "stretch"
_METHODS: dict[int, Redaction] = {value: method for method, value in REDACTIONS.items()}
_METHODS[pb.REDACTION_METHOD_UNSPECIFIED] = "fill"


class ImageRpcs(preprocessing_pb2_grpc.PreprocessingServiceServicer):
    """Pictures to pixels, and pictures with places covered."""

    _pipelines: InputPipelines

    async def TransformImage(self, request: pb.TransformImageRequest, context: Context) -> pb.TransformImageResponse:
        """A picture to pixels."""
        echo, deadline = request_id(request), budget(context)
        fit = _FITS[one_of("fit", request.fit, _FITS)]
        picture = await self._pipelines.transform_image(
            await content_of("image", request.image, self._pipelines, deadline),
            width=request.width,
            height=request.height,
            fit=fit,
            crop_fraction=request.crop_fraction,
            deadline=deadline,
        )
        (pixels,) = picture.renderings
        return pb.TransformImageResponse(
            pixels=tensor.to_proto(pixels.pixels),
            source_width=picture.source_width,
            source_height=picture.source_height,
            source_format=picture.source_format,
            source_region=region_to_proto(pixels.source_region),
            request_id=echo,
        )

    async def RenderImage(self, request: pb.RenderImageRequest, context: Context) -> pb.RenderImageResponse:
        """A picture to pixels, once for each target."""
        echo, deadline = request_id(request), budget(context)
        targets = to_targets("targets", request.targets)
        content = await content_of("image", request.image, self._pipelines, deadline)
        picture = await self._pipelines.render_image(content, targets, deadline=deadline)
        return pb.RenderImageResponse(
            renderings=[pixels_to_proto(pixels) for pixels in picture.renderings],
            source_width=picture.source_width,
            source_height=picture.source_height,
            source_format=picture.source_format,
            request_id=echo,
        )

    async def RedactImage(self, request: pb.RedactImageRequest, context: Context) -> pb.RedactImageResponse:
        """A picture with places covered."""
        echo, deadline = request_id(request), budget(context)
        method = _METHODS[one_of("method", request.method, _METHODS)]
        # An empty message takes two bytes, and reading a million of them seconds.
        require_count("regions", request.regions, "places", most=MAX_REGIONS)
        covered = await self._pipelines.redact_image(
            await content_of("image", request.image, self._pipelines, deadline),
            [region_from_proto(box) for box in request.regions],
            method=method,
            deadline=deadline,
        )
        return pb.RedactImageResponse(content=covered.content, media_type=covered.media_type, request_id=echo)


def to_targets(
    field: str, targets: Sequence[pb.ImageTarget], *, fewest: int = 1, most: int = MAX_TARGETS
) -> list[Target]:
    """What is asked of a picture or frame. field: names the list.

    Raises InvalidArgument for an unknown fit, and for too few or too many before any is read.
    """
    require_count(field, targets, "targets", fewest=fewest, most=most)
    return [
        Target(
            target.width,
            target.height,
            _FITS[one_of(f"{field}[{index}].fit", target.fit, _FITS)],
            target.crop_fraction,
            region_from_proto(target.region) if target.HasField("region") else None,
        )
        for index, target in enumerate(targets)
    ]
