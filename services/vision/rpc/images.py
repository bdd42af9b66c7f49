"""ClassifyImage, EmbedImage, DetectObjects, RecognizeText and RedactImage."""

from __future__ import annotations

from maas.type.v1 import media_pb2
from maas.vision.v1 import image_pb2, redaction_pb2, vision_pb2_grpc
from maas.vision.v1 import vision_pb2 as pb
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.media import media_bytes
from services.mesh.ports import Preprocessor, Redaction, Region
from services.mesh.request import fraction, one_of, request_id
from services.mesh.server import budget
from services.vision.pipelines.images import ImagePipelines
from services.vision.rpc import features, results

_METHODS: dict[redaction_pb2.RedactionMethod.ValueType, Redaction] = {
    redaction_pb2.REDACTION_METHOD_UNSPECIFIED: "fill",
    redaction_pb2.REDACTION_METHOD_FILL: "fill",
    redaction_pb2.REDACTION_METHOD_BLUR: "blur",
    redaction_pb2.REDACTION_METHOD_PIXELATE: "pixelate",
}
_MAX_BOXES = 100
_DEFAULT_FACE_SCORE = 0.3
_DEFAULT_MARGIN = 0.2


class ImageRpcs(vision_pb2_grpc.VisionServiceServicer):
    """The RPCs that find out, or change, one thing of a picture."""

    _images: ImagePipelines
    _preprocessor: Preprocessor

    async def ClassifyImage(self, request: pb.ClassifyImageRequest, context: Context) -> pb.ClassifyImageResponse:
        """What a picture shows as a whole."""
        echo, deadline = request_id(request), budget(context)
        feature = features.labels(self._images, request)
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        found = await self._images.annotator.find(content, feature, deadline)
        return pb.ClassifyImageResponse(labels=map(results.label, found), model=feature.card.name, request_id=echo)

    async def EmbedImage(self, request: image_pb2.EmbedImageRequest, context: Context) -> image_pb2.EmbedImageResponse:
        """A picture's vector."""
        echo, deadline = request_id(request), budget(context)
        feature = features.embedding(self._images, request)
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        found = await self._images.annotator.find(content, feature, deadline)
        return image_pb2.EmbedImageResponse(
            embedding=found, model=feature.card.name, model_version=feature.card.version, request_id=echo
        )

    async def DetectObjects(self, request: pb.DetectObjectsRequest, context: Context) -> pb.DetectObjectsResponse:
        """What is where on a picture."""
        echo, deadline = request_id(request), budget(context)
        tiling = one_of("tiling", request.tiling, pb.Tiling.values()) == pb.TILING_ON
        wanted = features.objects_wanted(self._images, request)
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        if tiling:
            found = await self._images.tiled_detector.detect(content, **wanted, deadline=deadline)
        else:
            found = await self._images.annotator.find(content, features.objects(self._images, wanted), deadline)
        return pb.DetectObjectsResponse(
            objects=map(results.detected_object, found.objects),
            image_width=found.image_width,
            image_height=found.image_height,
            model=wanted["card"].name,
            request_id=echo,
        )

    async def RecognizeText(
        self, request: image_pb2.RecognizeTextRequest, context: Context
    ) -> image_pb2.RecognizeTextResponse:
        """What is written on a picture."""
        echo, deadline = request_id(request), budget(context)
        feature = features.text(self._images, request)
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        found = await self._images.annotator.find(content, feature, deadline)
        return image_pb2.RecognizeTextResponse(
            text="\n".join(line.text for line in found.lines),
            lines=map(results.text_line, found.lines),
            image_width=found.image_width,
            image_height=found.image_height,
            model=feature.card.name,
            request_id=echo,
        )

    async def RedactImage(
        self, request: redaction_pb2.RedactImageRequest, context: Context
    ) -> redaction_pb2.RedactImageResponse:
        """A picture with faces, writing or given places covered."""
        echo, deadline = request_id(request), budget(context)
        method = _METHODS[one_of("method", request.method, _METHODS)]
        least = fraction("min_face_score", request.min_face_score, default=_DEFAULT_FACE_SCORE)
        margin = fraction("margin", request.margin, default=0) if request.HasField("margin") else _DEFAULT_MARGIN
        boxes = _boxes(request)
        content = await media_bytes("image", request.image, self._preprocessor, deadline)
        found = await self._images.redactor.redact(
            content,
            faces=request.faces,
            text=request.text,
            boxes=boxes,
            method=method,
            min_face_score=least,
            margin=margin,
            deadline=deadline,
        )
        return redaction_pb2.RedactImageResponse(
            content=found.image.content,
            media_type=found.image.media_type,
            regions=map(results.redacted_region, found.places),
            request_id=echo,
        )


def _boxes(request: redaction_pb2.RedactImageRequest) -> list[Region]:
    """The places given. Raises InvalidArgument for what is no place, for too many, and for nothing to cover at all."""
    if not (request.faces or request.text or request.boxes):
        raise errors.InvalidArgument.field("boxes", "is required, unless faces or text are to be covered")
    if len(request.boxes) > _MAX_BOXES:
        raise errors.InvalidArgument.field("boxes", f"takes at most {_MAX_BOXES} places, got {len(request.boxes)}")
    return [_region(f"boxes[{index}]", box) for index, box in enumerate(request.boxes)]


def _region(field: str, box: media_pb2.BoundingBox) -> Region:
    """A rectangle with an area. Raises InvalidArgument for any other, NaN included."""
    if not (0 <= box.x_min < box.x_max <= 1 and 0 <= box.y_min < box.y_max <= 1):
        raise errors.InvalidArgument.field(
            field, "takes 0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1, in fractions of the picture"
        )
    return Region(box.x_min, box.y_min, box.x_max, box.y_max)
