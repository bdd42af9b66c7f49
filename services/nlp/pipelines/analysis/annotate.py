"""Several things found out about the same texts, side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.mesh import errors
from services.mesh.together import together
from services.nlp.pipelines.analysis.inputs import Text, of_good

Feature = TypeVar("Feature")


@dataclass(frozen=True, slots=True)
class Annotation(Generic[Feature]):
    """One text and what each feature found out about it, which may be an error."""

    text: Text
    found: Mapping[Feature, Any]


async def annotate(
    texts: Sequence[Text | errors.MeshError],
    features: Mapping[Feature, Callable[[Sequence[Text]], Awaitable[Sequence[Any]]]],
) -> list[Annotation[Feature] | errors.MeshError]:
    """What each feature finds out about each text, in order; a text that is wrong reaches none and keeps its error.

    A feature that fails has its error at every text, and the others their answers.
    """

    async def all_features(good: Sequence[Text]) -> list[Annotation[Feature]]:
        async def one(work: Callable[[Sequence[Text]], Awaitable[Sequence[Any]]]) -> Sequence[Any]:
            try:
                return await work(good)
            except errors.MeshError as error:
                return [error] * len(good)

        found = await together(one(work) for work in features.values())
        return [
            Annotation(text, dict(zip(features, row, strict=True)))
            for text, row in zip(good, zip(*found, strict=True), strict=True)
        ]

    return await of_good(texts, all_features)
