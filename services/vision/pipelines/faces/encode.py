"""The one face of a picture that counts, with its vector."""

from __future__ import annotations

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard, Models
from services.mesh.ports import Preprocessor
from services.vision.pipelines.faces.attributes import EMBEDDING
from services.vision.pipelines.faces.face import Attribute, Face
from services.vision.pipelines.faces.find import DETECTION, FaceFinder
from services.vision.pipelines.fields import renamed
from services.vision.pipelines.picture import open_picture

# Of the faces found.
_MOST = 100
_WANTED: frozenset[Attribute] = frozenset({"embedding"})


class FaceEncoder:
    """From the bytes of a picture to a face that can be compared."""

    def __init__(self, preprocessor: Preprocessor, finder: FaceFinder, models: Models) -> None:
        self._preprocessor = preprocessor
        self._finder = finder
        self._models = models

    def card(self, embedding_model: str = "") -> ModelCard:
        """The model that makes the vectors, the default for "". Raises what Models.pick raises."""
        return self._models.pick(EMBEDDING, embedding_model)

    async def encode(
        self, content: bytes, *, field: str, embedding_model: str = "", only_one: bool = False, deadline: Deadline
    ) -> Face:
        """The largest face of a picture, with its embedding.

        field: of the picture in the request, for example "image", by which errors name it. only_one: refuse a picture
        with several faces. Raises FailedPrecondition with the reason FACE_NOT_FOUND or SEVERAL_FACES, and what opening
        the picture, picking models and inference raise.
        """
        embedding_card, card = self.card(embedding_model), self._models.pick(DETECTION, "")
        try:
            targets = self._finder.targets(card, _WANTED)
            picture = await open_picture(self._preprocessor, content, targets, deadline)
        except errors.MeshError as error:
            raise renamed(error, "image", field) from None
        found = await self._finder.find(picture, card, max_results=_MOST, deadline=deadline)
        if not found.faces:
            raise errors.FailedPrecondition(
                f"{field}: there is no face on the picture, or none that is large and upright enough",
                reason="FACE_NOT_FOUND",
                metadata={"field": field},
            )
        if only_one and len(found.faces) > 1:
            raise errors.FailedPrecondition(
                f"{field}: takes a picture with one face, and this one has {len(found.faces)}",
                reason="SEVERAL_FACES",
                metadata={"field": field, "faces": str(len(found.faces))},
            )
        face = max(found.faces, key=_area)
        (told,) = await self._finder.tell(
            picture, card, [face], _WANTED, embedding_card=embedding_card, deadline=deadline
        )
        return told


def _area(face: Face) -> float:
    box = face.box
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)
