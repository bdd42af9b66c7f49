"""Several things found out about one picture, side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Preprocessor, Target
from services.mesh.together import together
from services.vision.pipelines.picture import Picture, open_picture

Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)
Name = TypeVar("Name")

# Opens a picture for which nothing needs to be rendered: to see that it is one, and its size.
_GLANCE = Target(16, 16, "inside")


class Finding(Protocol[Found_co]):
    """How something is found out about a picture that is open."""

    def __call__(self, picture: Picture, *, deadline: Deadline) -> Awaitable[Found_co]:
        """Find it. Raises what the ports raise."""
        ...


@dataclass(frozen=True, slots=True)
class Feature(Generic[Found]):
    """Something to find out about a picture: with which model, from which renderings, and how."""

    card: ModelCard
    targets: tuple[Target, ...]
    find: Finding[Found]


@dataclass(frozen=True, slots=True)
class Annotation(Generic[Name]):
    """What each feature found out about a picture of that size in pixels, or why it failed."""

    found: Mapping[Name, Any]
    image_width: int
    image_height: int


class ImageAnnotator:
    """Finds out one or more things about a picture, which is decoded once."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        self._preprocessor = preprocessor

    async def find(self, content: bytes, feature: Feature[Found], deadline: Deadline) -> Found:
        """One thing. Raises what the ports raise."""
        picture = await open_picture(self._preprocessor, content, feature.targets, deadline)
        return await feature.find(picture, deadline=deadline)

    async def annotate(
        self, content: bytes, features: Mapping[Name, Feature[Any] | errors.MeshError], deadline: Deadline
    ) -> Annotation[Name]:
        """Several things at the same time; one that fails, or that failed before, has its error and the others answers.

        Raises what opening the picture raises.
        """
        targets = [
            target for each in features.values() if not isinstance(each, errors.MeshError) for target in each.targets
        ]
        picture = await open_picture(self._preprocessor, content, targets or [_GLANCE], deadline)

        async def one(feature: Feature[Any] | errors.MeshError) -> Any:
            if isinstance(feature, errors.MeshError):
                return feature
            try:
                return await feature.find(picture, deadline=deadline)
            except errors.MeshError as error:
                return error

        found = await together(map(one, features.values()))
        return Annotation(dict(zip(features, found, strict=True)), picture.width, picture.height)
