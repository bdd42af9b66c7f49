"""What requests want to find out about a picture, checked: the same for a feature's own RPC and for AnnotateImage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from maas.vision.v1 import face_pb2
from services.mesh import errors
from services.mesh.models import ModelCard
from services.mesh.request import fraction, limited, one_of
from services.vision.pipelines.annotate import Feature
from services.vision.pipelines.classify import CLASSIFICATION, Label
from services.vision.pipelines.detect import DETECTION, Detections
from services.vision.pipelines.embed import EMBEDDING
from services.vision.pipelines.faces.face import Attribute, Faces
from services.vision.pipelines.faces.find import DETECTION as FACE_DETECTION
from services.vision.pipelines.images import ImagePipelines
from services.vision.pipelines.pose import POSE, Pose
from services.vision.pipelines.read import READING, Text
from services.vision.pipelines.safety import SAFETY, Safety
from services.vision.pipelines.segment import SEGMENTATION, PersonMask

_ATTRIBUTES: Mapping[face_pb2.FaceAttribute.ValueType, Attribute] = {
    face_pb2.FACE_ATTRIBUTE_AGE: "age",
    face_pb2.FACE_ATTRIBUTE_EXPRESSION: "expression",
    face_pb2.FACE_ATTRIBUTE_EMBEDDING: "embedding",
}
_MAX_LABELS, _DEFAULT_LABELS = 1000, 5
_MAX_OBJECTS, _DEFAULT_OBJECTS = 100, 20
_MAX_POSES, _DEFAULT_POSES = 20, 5
_MAX_FACES, _DEFAULT_FACES = 100, 20
_DEFAULT_SCORE = 0.5
_DEFAULT_TEXT_SCORE = 0.8


class WithModel(Protocol):
    """A request that may name a model."""

    model: str


class WithScore(WithModel, Protocol):
    """A request that also bounds the score of what it wants."""

    min_score: float


class WithResults(WithScore, Protocol):
    """A request that also bounds how much it wants."""

    max_results: int


def attributes(field: str, wanted: Sequence[face_pb2.FaceAttribute.ValueType]) -> frozenset[Attribute]:
    """What to tell of faces. Raises InvalidArgument for what the contract does not have, and for anything twice."""
    for index, value in enumerate(wanted):
        one_of(f"{field}[{index}]", value, _ATTRIBUTES)
        if value in wanted[:index]:
            raise errors.InvalidArgument.field(f"{field}[{index}]", "is named twice")
    return frozenset(_ATTRIBUTES[value] for value in wanted)


class ObjectsWanted(TypedDict):
    """Which things are wanted, as detectors take it."""

    card: ModelCard
    max_results: int
    min_score: float


def labels(images: ImagePipelines, wanted: WithResults, *, at: str = "") -> Feature[list[Label]]:
    """What the picture shows. at: how the fields' names begin, for example "features[2]."; so with all of these.

    Each raises InvalidArgument, and what Models.pick raises.
    """
    most = limited(f"{at}max_results", wanted.max_results, default=_DEFAULT_LABELS, low=1, high=_MAX_LABELS)
    least = fraction(f"{at}min_score", wanted.min_score, default=0)
    card = images.models.pick(CLASSIFICATION, wanted.model)
    find = partial(images.classifier.classify, card=card, max_results=most, min_score=least)
    return Feature(card, images.classifier.targets(card), find)


def embedding(images: ImagePipelines, wanted: WithModel) -> Feature[NDArray[np.float32]]:
    """The picture's vector."""
    card = images.models.pick(EMBEDDING, wanted.model)
    return Feature(card, images.embedder.targets(card), partial(images.embedder.embed, card=card))


def objects_wanted(images: ImagePipelines, wanted: WithResults, *, at: str = "") -> ObjectsWanted:
    """Which things."""
    return ObjectsWanted(
        max_results=limited(f"{at}max_results", wanted.max_results, default=_DEFAULT_OBJECTS, low=1, high=_MAX_OBJECTS),
        min_score=fraction(f"{at}min_score", wanted.min_score, default=_DEFAULT_SCORE),
        card=images.models.pick(DETECTION, wanted.model),
    )


def objects(images: ImagePipelines, wanted: ObjectsWanted) -> Feature[Detections]:
    """Things on the picture as a whole."""
    card = wanted["card"]
    return Feature(card, images.detector.targets(card), partial(images.detector.detect, **wanted))


def faces(
    images: ImagePipelines, wanted: WithResults, attributes: frozenset[Attribute], *, at: str = ""
) -> Feature[Faces]:
    """Faces, and such attributes of each."""
    most = limited(f"{at}max_results", wanted.max_results, default=_DEFAULT_FACES, low=1, high=_MAX_FACES)
    least = fraction(f"{at}min_score", wanted.min_score, default=_DEFAULT_SCORE)
    card = images.models.pick(FACE_DETECTION, wanted.model)
    find = partial(images.faces.find, card=card, max_results=most, min_score=least, attributes=attributes)
    return Feature(card, tuple(images.faces.targets(card, attributes)), find)


def text(images: ImagePipelines, wanted: WithScore, *, at: str = "") -> Feature[Text]:
    """Lines of writing."""
    least = fraction(f"{at}min_score", wanted.min_score, default=_DEFAULT_TEXT_SCORE)
    card = images.models.pick(READING, wanted.model)
    return Feature(card, images.reader.targets(card), partial(images.reader.read, card=card, min_score=least))


def safety(images: ImagePipelines, wanted: WithModel) -> Feature[Safety]:
    """Whether the picture is safe for work."""
    card = images.models.pick(SAFETY, wanted.model)
    return Feature(card, images.safety.targets(card), partial(images.safety.assess, card=card))


def poses(images: ImagePipelines, wanted: WithResults, *, at: str = "") -> Feature[list[Pose]]:
    """The postures of people."""
    most = limited(f"{at}max_results", wanted.max_results, default=_DEFAULT_POSES, low=1, high=_MAX_POSES)
    card, people = images.models.pick(POSE, wanted.model), images.models.pick(DETECTION, "")
    find = partial(images.poses.estimate, card=card, detection_card=people, max_results=most)
    return Feature(card, images.poses.targets(people), find)


def person_mask(images: ImagePipelines, wanted: WithModel) -> Feature[PersonMask]:
    """Where people are."""
    card = images.models.pick(SEGMENTATION, wanted.model)
    return Feature(card, images.segmenter.targets(card), partial(images.segmenter.segment, card=card))
