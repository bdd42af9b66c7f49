"""Who is known: faces are enrolled under a name, recognised, listed and deleted, each tenant's apart."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.database import Database
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.vision.pipelines.faces.face import Face
from services.vision.pipelines.faces.gallery.crypto import Keys, Place, TenantKeys
from services.vision.pipelines.faces.gallery.replica import Replica, Workers
from services.vision.pipelines.faces.gallery.schema import SCHEMA
from services.vision.pipelines.faces.gallery.store import FaceRow, Store
from services.vision.pipelines.faces.verify import threshold

# Candidates whose names are read from the store at once.
_CANDIDATES = 500
_EPOCH = datetime.fromtimestamp(0, UTC)


class Encoder(Protocol):
    """Finds the face of a picture that counts, with its vector; faces.encode.FaceEncoder."""

    def card(self, embedding_model: str = "") -> ModelCard:
        """The model that makes the vectors."""
        ...

    async def encode(
        self, content: bytes, *, field: str, embedding_model: str = "", only_one: bool = False, deadline: Deadline
    ) -> Face:
        """The face. Raises FailedPrecondition naming the field when there is none, or several and only_one is set."""
        ...


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """A face of the gallery. embedding: float32[D], only when asked for. Neither name nor vector shows in its repr."""

    face_id: str
    person_id: str = field(repr=False)
    create_time: datetime
    model: str
    embedding: NDArray[np.float32] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FaceCandidate:
    """Who it may be, and the distance of the vectors, 0 to 2."""

    face: EnrolledFace
    distance: float


@dataclass(frozen=True, slots=True)
class Identification:
    """Who it may be, nearest first, each person once; and the face that was looked at, without its vector."""

    candidates: list[FaceCandidate]
    face: Face
    threshold: float
    gallery_size: int
    model: str


@dataclass(frozen=True, slots=True)
class FacePage:
    """Some faces in the order of enrolment. next_page_token: "" at the end."""

    faces: list[EnrolledFace]
    next_page_token: str


class Gallery:
    """The galleries of all tenants.

    Every method raises Unavailable while the store is away and DeadlineExceeded when the time is over.
    """

    def __init__(
        self, store: Store, keys: Keys, encoder: Encoder, replica: Replica, workers: Workers, *, max_faces: int
    ) -> None:
        """max_faces: that one tenant may have."""
        self._store = store
        self._keys = keys
        self._encoder = encoder
        self._replica = replica
        self._workers = workers
        self._max_faces = max_faces
        # Bounded by the calls that the server takes at once.
        self._deleting: set[asyncio.Task[int]] = set()

    async def enroll(
        self, tenant: str, content: bytes, *, person_id: str, request_id: str, deadline: Deadline
    ) -> EnrolledFace:
        """Put the one face of a picture into the gallery; the same request_id again gives the same face.

        Raises FailedPrecondition when there is no face or several, Exhausted when the gallery is full.
        """
        found = await self._encoder.encode(content, field="image", only_one=True, deadline=deadline)
        keys = self._keys.of(tenant)
        face_id, model = str(uuid.uuid4()), found.embedding_model
        # The name that a UUID has in any spelling.
        requests = keys.find("request", str(uuid.UUID(request_id))) if request_id else []
        row = FaceRow(
            face_id=face_id,
            model=model,
            key_id=keys.key_id,
            vector=keys.encrypt_vector(face_id, model, _vector(found)),
            person=keys.encrypt(Place(face_id, model, "person"), person_id.encode()),
            person_hash=keys.find("person", person_id)[0],
            request_hash=requests[0] if requests else None,
            create_time=time.time_ns() // 1000,
        )
        async with _until(deadline):
            return _enrolled(keys, await self._store.add(tenant, row, requests, self._max_faces))

    async def identify(
        self, tenant: str, content: bytes, *, max_results: int, max_distance: float, deadline: Deadline
    ) -> Identification:
        """Who of the gallery the largest face of a picture may be.

        max_distance: 0 for what was measured for the model. Raises FailedPrecondition when there is no face.
        """
        nearest = threshold(self._encoder.card(), max_distance)
        found = await self._encoder.encode(content, field="image", deadline=deadline)
        model = found.embedding_model
        async with _until(deadline):
            # Whatever was answered before this moment counts.
            state = await self._store.state(tenant)
            candidates: list[FaceCandidate] = []
            if state.faces:
                index = await self._replica.at(tenant, model, state.change)
                numbers, distances = await self._workers.run(index.within, _vector(found), nearest)
                candidates = await self._candidates(tenant, numbers, distances, max_results)
        return Identification(
            candidates, replace(found, embedding=None, embedding_model=""), nearest, state.faces, model
        )

    async def delete(self, tenant: str, *, face_id: str = "", person_id: str = "", deadline: Deadline) -> int:
        """Delete a face, or all of a person: how many. Raises NotFound when there are none."""
        persons = self._keys.of(tenant).find("person", person_id) if person_id else []
        if not persons and not _is_uuid(face_id):
            raise _no_face()
        deadline.require_seconds()
        # Once begun it is finished, whether or not the caller waits.
        task = asyncio.create_task(self._store.delete(tenant, face_id=face_id.lower(), persons=persons))
        self._deleting.add(task)
        task.add_done_callback(self._deleted)
        async with _until(deadline):
            count = await asyncio.shield(task)
        if not count:
            raise _no_person() if person_id else _no_face()
        return count

    async def faces(
        self, tenant: str, *, person_id: str, page_size: int, page_token: str, embeddings: bool, deadline: Deadline
    ) -> FacePage:
        """The faces of a tenant, or of one person, oldest first. Raises InvalidArgument for a strange page token."""
        keys = self._keys.of(tenant)
        persons = keys.find("person", person_id) if person_id else []
        after = keys.page_after(person_id, page_token)
        async with _until(deadline):
            rows = await self._store.page(tenant, persons=persons, after=after, limit=page_size + 1)
            shown = rows[:page_size]
            page = await self._workers.run(lambda: [_enrolled(keys, row, embedding=embeddings) for row in shown])
        more = len(rows) > page_size
        return FacePage(page, keys.page_token(person_id, shown[-1].number) if more else "")

    async def close(self) -> None:
        """Finish the deletions that were begun; end the rest."""
        await asyncio.gather(*self._deleting, return_exceptions=True)
        await self._replica.close()

    async def _candidates(
        self, tenant: str, numbers: NDArray[np.int64], distances: NDArray[np.float32], most: int
    ) -> list[FaceCandidate]:
        """The nearest face of each person. The store is asked, so that what was deleted meanwhile is not among them."""
        keys = self._keys.of(tenant)
        persons: dict[str, FaceCandidate] = {}
        for start in range(0, len(numbers), _CANDIDATES):
            rows = {
                row.number: row
                for row in await self._store.numbered(tenant, numbers[start : start + _CANDIDATES].tolist())
            }
            near = zip(numbers[start:].tolist(), distances[start : start + _CANDIDATES].tolist(), strict=False)
            for number, distance in near:
                if number in rows:
                    face = _enrolled(keys, rows[number])
                    persons.setdefault(face.person_id, FaceCandidate(face, distance))
                if len(persons) == most:
                    return list(persons.values())
        return list(persons.values())

    def _deleted(self, task: asyncio.Task[int]) -> None:
        self._deleting.discard(task)
        if not task.cancelled():
            task.exception()  # Told to the caller, if there still is one.


@asynccontextmanager
async def open_gallery(
    url: str, keys: Sequence[bytes], encoder: Encoder, *, max_faces: int, max_faces_in_memory: int, threads: int
) -> AsyncIterator[Gallery]:
    """The gallery on a database, for as long as the block runs.

    url: sqlite:///path or postgresql://... keys: as `parse_keys` gives them. max_faces: that a tenant may have.
    max_faces_in_memory: vectors of all tenants. threads: for searching and decrypting. Raises ValueError for another
    kind of URL. A database that is away is waited for by no one: calls fail with Unavailable until it is back.
    """
    database = Database(url, SCHEMA)
    store, masters, workers = Store(database), Keys(keys), Workers(threads)
    replica = Replica(store, masters, workers, max_faces=max_faces_in_memory)
    gallery = Gallery(store, masters, encoder, replica, workers, max_faces=max_faces)
    try:
        yield gallery
    finally:
        await gallery.close()
        workers.close()
        await database.close()


@asynccontextmanager
async def _until(deadline: Deadline) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(deadline.require_seconds()):
            yield
    except TimeoutError:
        raise errors.DeadlineExceeded("the gallery's store did not answer in time") from None


def _enrolled(keys: TenantKeys, row: FaceRow, *, embedding: bool = False) -> EnrolledFace:
    return EnrolledFace(
        row.face_id,
        keys.decrypt(row.key_id, Place(row.face_id, row.model, "person"), row.person).decode(),
        _EPOCH + timedelta(microseconds=row.create_time),
        row.model,
        keys.decrypt_vector(row.key_id, row.face_id, row.model, row.vector) if embedding else None,
    )


def _vector(face: Face) -> NDArray[np.float32]:
    if face.embedding is None:
        raise errors.Internal("the face has no vector")
    return face.embedding


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _no_face() -> errors.NotFound:
    return errors.NotFound("face_id: the gallery has no face of that name", reason="ENROLLED_FACE_NOT_FOUND")


def _no_person() -> errors.NotFound:
    return errors.NotFound("person_id: the gallery has no face of that person", reason="PERSON_NOT_FOUND")
