"""A picture as all features of a call share it: decoded once, rendered for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Pixels, Preprocessor, Target


@dataclass(frozen=True, slots=True)
class Picture:
    """The renderings of one picture, by the target that they were made for. Width and height in pixels, upright."""

    width: int
    height: int
    renderings: Mapping[Target, Pixels]

    def __getitem__(self, target: Target) -> Pixels:
        """The picture as that target asks for it, which must be one of those that it was opened with."""
        return self.renderings[target]


async def open_picture(
    preprocessor: Preprocessor, content: bytes, targets: Iterable[Target], deadline: Deadline
) -> Picture:
    """Have a picture decoded once and rendered for each target. Raises what Preprocessor.render_image raises."""
    wanted = list(dict.fromkeys(targets))
    rendered = await preprocessor.render_image(content, wanted, deadline=deadline)
    first = rendered[0]
    return Picture(first.source_width, first.source_height, dict(zip(wanted, rendered, strict=True)))


def model_target(card: ModelCard) -> Target:
    """What a model takes, as its catalog entry says in `preprocess`: width, height, fit and, if any, crop_fraction."""
    wanted = card.preprocess
    return Target(wanted["width"], wanted["height"], wanted["fit"], wanted.get("crop_fraction", 1.0))
