"""Covers faces, writing and given places on a picture, for privacy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import EncodedImage, Preprocessor, Redaction, Region, Target
from services.mesh.together import together
from services.vision.pipelines.boxes import as_box, as_region, enlarged, suppress
from services.vision.pipelines.covering import covering
from services.vision.pipelines.faces.find import DETECTION, FaceFinder
from services.vision.pipelines.picture import Picture, model_target, open_picture
from services.vision.pipelines.read import READING, TextReader

Kind = Literal["face", "text", "box"]

_MAX_FACES = 100
# A model that takes pictures of any size looks for faces at twice its own size too, where small ones are.
_LARGER = 2
# Covers nothing, but takes the metadata away.
_NOWHERE = Region(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class CoveredPlace:
    """Where something was covered, margins included, and why."""

    box: Region
    kind: Kind


@dataclass(frozen=True, slots=True)
class Redacted:
    """The picture, and the places on it that were covered."""

    image: EncodedImage
    places: list[CoveredPlace]


class Redactor:
    """Finds what is to be covered, and has it covered. What cannot be looked for fails the whole."""

    def __init__(self, preprocessor: Preprocessor, models: Models, faces: FaceFinder, reader: TextReader) -> None:
        self._preprocessor = preprocessor
        self._models = models
        self._faces = faces
        self._reader = reader

    async def redact(
        self,
        content: bytes,
        *,
        faces: bool,
        text: bool,
        boxes: Sequence[Region],
        method: Redaction,
        min_face_score: float,
        margin: float,
        deadline: Deadline,
    ) -> Redacted:
        """Cover the faces and the writing found, if wanted, with a margin around them, and the boxes as they are.

        Writing is covered whether or not it can be read. Where there are very many places, what lies between them may
        be covered too, see `covering`.
        Raises what picking models and the ports raise.
        """
        face_cards = _scales(self._models.pick(DETECTION, "")) if faces else []
        text_card = self._models.pick(READING, "") if text else None
        targets: list[Target] = [target for card in face_cards for target in self._faces.targets(card)]
        if text_card:
            targets += self._reader.targets(text_card)
        places: list[CoveredPlace] = []
        if targets:
            picture = await open_picture(self._preprocessor, content, targets, deadline)
            works = [self._find_faces(picture, face_cards, min_face_score, deadline)]
            if text_card:
                works.append(self._find_text(picture, text_card, deadline))
            found = await together(works)
            places += [CoveredPlace(enlarged(place.box, margin), place.kind) for some in found for place in some]
        places += [CoveredPlace(box, "box") for box in boxes]
        return Redacted(await self._cover(content, [place.box for place in places], method, deadline), places)

    async def _find_faces(
        self, picture: Picture, cards: Sequence[ModelCard], min_score: float, deadline: Deadline
    ) -> list[CoveredPlace]:
        """Each once, whichever card found it; a picture that is as large for each of them is looked at once."""
        by_size = {picture[model_target(card)].pixels.shape: card for card in cards}
        found = await together(
            self._faces.find(picture, card, max_results=_MAX_FACES, min_score=min_score, deadline=deadline)
            for card in by_size.values()
        )
        faces = sorted((face for some in found for face in some.faces), key=lambda face: -face.score)
        boxes = np.array([as_box(face.box) for face in faces], np.float32).reshape(-1, 4)
        return [CoveredPlace(faces[index].box, "face") for index in suppress(boxes)]

    async def _find_text(self, picture: Picture, card: ModelCard, deadline: Deadline) -> list[CoveredPlace]:
        found = await self._reader.find(picture, card, deadline=deadline)
        return [CoveredPlace(line.box, "text") for line in found]

    async def _cover(
        self, content: bytes, regions: Sequence[Region], method: Redaction, deadline: Deadline
    ) -> EncodedImage:
        boxes = np.array([as_box(region) for region in regions or [_NOWHERE]])
        few = [as_region(box) for box in await asyncio.to_thread(covering, boxes)]
        return await self._preprocessor.redact_image(content, few, method=method, deadline=deadline)


def _scales(card: ModelCard) -> list[ModelCard]:
    """The card, and where its model takes pictures of any size, as it would be for one that takes larger ones."""
    wanted = card.preprocess
    if wanted["fit"] != "inside":
        return [card]
    larger = {**wanted, "width": wanted["width"] * _LARGER, "height": wanted["height"] * _LARGER}
    return [card, card.model_copy(update={"preprocess": larger})]
