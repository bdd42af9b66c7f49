"""AnnotateImage and BatchAnnotateImages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from maas.type.v1 import media_pb2
from maas.vision.v1 import vision_pb2 as pb
from maas.vision.v1 import vision_pb2_grpc
from services.mesh import errors
from services.mesh.call import Context
from services.mesh.deadline import Deadline
from services.mesh.media import media_bytes
from services.mesh.ports import Preprocessor
from services.mesh.request import one_of, request_id
from services.mesh.server import budget
from services.mesh.status import to_status
from services.mesh.together import each
from services.vision.pipelines.annotate import Annotation, Feature
from services.vision.pipelines.fields import renamed
from services.vision.pipelines.images import ImagePipelines
from services.vision.rpc import features, results
from services.vision.rpc.faces import face_to_proto

Name: TypeAlias = pb.ImageFeature.ValueType
Features = Mapping[Name, Feature[Any] | errors.MeshError]

_FEATURES = tuple(name for name in pb.ImageFeature.values() if name != pb.IMAGE_FEATURE_UNSPECIFIED)
_MAX_IMAGES = 16
# Of a batch; each is decoded, and its renderings are in memory.
_IMAGES_AT_ONCE = 4


class AnnotationRpcs(vision_pb2_grpc.VisionServiceServicer):
    """The RPCs that find out several things of pictures."""

    _images: ImagePipelines
    _preprocessor: Preprocessor

    async def AnnotateImage(self, request: pb.AnnotateImageRequest, context: Context) -> pb.AnnotateImageResponse:
        """Several things about one picture."""
        echo, deadline = request_id(request), budget(context)
        wanted = _wanted(self._images, request.features)
        annotation = await self._annotate("image", request.image, wanted, deadline)
        return pb.AnnotateImageResponse(annotation=annotation, request_id=echo)

    async def BatchAnnotateImages(
        self, request: pb.BatchAnnotateImagesRequest, context: Context
    ) -> pb.BatchAnnotateImagesResponse:
        """Several things about several pictures, each by itself."""
        echo, deadline = request_id(request), budget(context)
        if not 1 <= len(request.images) <= _MAX_IMAGES:
            raise errors.InvalidArgument.field(
                "images", f"takes 1 to {_MAX_IMAGES} pictures, got {len(request.images)}"
            )
        wanted = _wanted(self._images, request.features)

        async def one(item: tuple[int, media_pb2.Image]) -> pb.BatchAnnotateImagesResult:
            try:
                annotation = await self._annotate(f"images[{item[0]}]", item[1], wanted, deadline)
            except errors.MeshError as error:
                return pb.BatchAnnotateImagesResult(status=to_status(error))
            return pb.BatchAnnotateImagesResult(annotation=annotation)

        answers = await each(list(enumerate(request.images)), one, at_once=_IMAGES_AT_ONCE)
        return pb.BatchAnnotateImagesResponse(results=answers, request_id=echo)

    async def _annotate(
        self, field: str, image: media_pb2.Image, wanted: Features, deadline: Deadline
    ) -> pb.ImageAnnotation:
        content = await media_bytes(field, image, self._preprocessor, deadline)
        try:
            found = await self._images.annotator.annotate(content, wanted, deadline)
        except errors.InvalidArgument as error:
            raise renamed(error, "image", field) from None
        return _annotation(found, wanted)


def _wanted(images: ImagePipelines, requests: Sequence[pb.ImageFeatureRequest]) -> Features:
    """What is wanted, in order; a feature that cannot be had now has its error.

    Raises InvalidArgument for what the contract does not have, and NotFound for a model that does not exist.
    """
    if not 1 <= len(requests) <= len(_FEATURES):
        raise errors.InvalidArgument.field("features", f"takes 1 to {len(_FEATURES)} features, got {len(requests)}")
    wanted: dict[Name, Feature[Any] | errors.MeshError] = {}
    for index, request in enumerate(requests):
        at = f"features[{index}]."
        name = one_of(f"{at}feature", request.feature, _FEATURES)
        if name in wanted:
            raise errors.InvalidArgument.field(f"{at}feature", f"names {pb.ImageFeature.Name(name)} once more")
        try:
            wanted[name] = _feature(images, name, request, at)
        except (errors.Unavailable, errors.Unimplemented) as error:
            wanted[name] = error
    return wanted


def _feature(images: ImagePipelines, name: Name, request: pb.ImageFeatureRequest, at: str) -> Feature[Any]:
    known: Mapping[Name, Callable[[], Feature[Any]]] = {
        pb.IMAGE_FEATURE_LABELS: lambda: features.labels(images, request, at=at),
        pb.IMAGE_FEATURE_EMBEDDING: lambda: features.embedding(images, request),
        pb.IMAGE_FEATURE_OBJECTS: lambda: features.objects(images, features.objects_wanted(images, request, at=at)),
        pb.IMAGE_FEATURE_FACES: lambda: features.faces(
            images, request, features.attributes(f"{at}face_attributes", request.face_attributes), at=at
        ),
        pb.IMAGE_FEATURE_TEXT: lambda: features.text(images, request, at=at),
        pb.IMAGE_FEATURE_SAFETY: lambda: features.safety(images, request),
        pb.IMAGE_FEATURE_POSE: lambda: features.poses(images, request, at=at),
        pb.IMAGE_FEATURE_PERSON_MASK: lambda: features.person_mask(images, request),
    }
    return known[name]()


# How what a feature found is told in the annotation.
_PARTS: Mapping[Name, Callable[[Any], Mapping[str, Any]]] = {
    pb.IMAGE_FEATURE_LABELS: lambda found: {"labels": map(results.label, found)},
    pb.IMAGE_FEATURE_EMBEDDING: lambda found: {"embedding": found},
    pb.IMAGE_FEATURE_OBJECTS: lambda found: {"objects": map(results.detected_object, found.objects)},
    pb.IMAGE_FEATURE_FACES: lambda found: {"faces": map(face_to_proto, found.faces)},
    pb.IMAGE_FEATURE_TEXT: lambda found: {"text_lines": map(results.text_line, found.lines)},
    pb.IMAGE_FEATURE_SAFETY: lambda found: {"safety": results.safety(found)},
    pb.IMAGE_FEATURE_POSE: lambda found: {"poses": map(results.pose, found)},
    pb.IMAGE_FEATURE_PERSON_MASK: lambda found: {"person_mask": results.person_mask(found)},
}


def _annotation(annotation: Annotation[Name], wanted: Features) -> pb.ImageAnnotation:
    """What was found by each feature, and by which model, or why not."""
    answer = pb.ImageAnnotation(image_width=annotation.image_width, image_height=annotation.image_height)
    for name, found in annotation.found.items():
        feature = wanted[name]
        if isinstance(found, errors.MeshError) or isinstance(feature, errors.MeshError):
            answer.failures.add(feature=name, status=to_status(found))
            continue
        answer.models.add(feature=name, model=feature.card.name)
        answer.MergeFrom(pb.ImageAnnotation(**_PARTS[name](found)))
    return answer
