"""What is deleted is gone: from SQLite's files, and from every answer, whatever happens at the same time."""

from __future__ import annotations

import random
import sqlite3
from asyncio import TaskGroup, sleep
from pathlib import Path

import pytest

from services.mesh.deadline import Deadline
from services.vision.pipelines.faces.gallery import index
from services.vision.pipelines.faces.gallery.schema import faces
from tests.unit.vision.gallery.conftest import opener
from tests.unit.vision.gallery.faces import vector

# So many bytes of a value are not there by chance.
_PIECE = 16


def soon() -> Deadline:
    return Deadline.after(60)


async def enroll(gallery, person, picture=1):
    face = await gallery.enroll(
        "default", f"{person} {picture}".encode(), person_id=person, request_id="", deadline=soon()
    )
    return face.face_id


def pieces(*values: bytes) -> set[bytes]:
    return {value[at : at + _PIECE] for value in values for at in range(0, len(value) - _PIECE + 1, _PIECE)}


def stored(file: Path) -> dict[str, list[bytes]]:
    """The ciphertexts and hashes of each face, by face_id."""
    columns = "face_id, vector, person, person_hash"
    with sqlite3.connect(file) as connection:
        rows = connection.execute(f"SELECT {columns} FROM {faces.name}").fetchall()  # noqa: S608 - no input
    connection.close()
    return {face_id: values for face_id, *values in rows}


def on_disk(directory: Path) -> bytes:
    """All bytes of the database: the file itself, its log, and whatever else lies there."""
    return b"".join(path.read_bytes() for path in directory.iterdir())


async def test_deleted_bytes_leave_the_files(tmp_path):
    """After a deletion no file of the database holds a piece of the face's vector, name or hashes, while it is open."""
    file = tmp_path / "faces.sqlite"
    chance = random.Random(4)
    async with opener(f"sqlite:///{file}")(max_faces=1000) as gallery:
        ids = [await enroll(gallery, f"person number {number}") for number in range(150)]
        values = stored(file)
        doomed = chance.sample(ids, 70)
        for face_id in doomed[:-1]:
            await gallery.delete("default", face_id=face_id, deadline=soon())
            # So that cells move about on their pages.
            ids.append(await enroll(gallery, f"person number {chance.randrange(10**6)}"))
        await gallery.delete("default", face_id=doomed[-1], deadline=soon())
        found = on_disk(tmp_path)
        left = [face_id for face_id in doomed if any(piece in found for piece in pieces(*values[face_id]))]
        assert left == []
        kept = next(face_id for face_id in values if face_id not in doomed)
        assert all(piece in found for piece in pieces(*values[kept]))


async def test_a_deleted_person_leaves_the_files(tmp_path):
    """So do all faces of a person who is deleted by name, and a gallery that is emptied."""
    file = tmp_path / "faces.sqlite"
    async with opener(f"sqlite:///{file}")() as gallery:
        for picture in range(20):
            await enroll(gallery, "ann", picture)
            await enroll(gallery, "bob", picture)
        secret = pieces(*(value for values in stored(file).values() for value in values))
        await gallery.delete("default", person_id="ann", deadline=soon())
        await gallery.delete("default", person_id="bob", deadline=soon())
        found = on_disk(tmp_path)
    assert [piece for piece in secret if piece in found] == []


async def test_nothing_readable_is_ever_on_disk(tmp_path):
    """Neither a name nor a vector stands in the files as it is; and only their owner can read them."""
    file = tmp_path / "faces.sqlite"
    async with opener(f"sqlite:///{file}")() as gallery:
        await enroll(gallery, "annabella of the north")
        found = on_disk(tmp_path)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert b"annabella" not in found
    assert not any(piece in found for piece in pieces(vector("annabella of the north 1").tobytes()))


@pytest.mark.parametrize("exact_faces", [index.EXACT_FACES, 10])
async def test_answers_stay_right_under_concurrent_changes(opened, monkeypatch, exact_faces):
    """Whoever was deleted before an identification began is not in its answer, whoever is enrolled is, at each replica.

    exact_faces: the second run searches cells, and builds them anew as the gallery grows.
    """
    monkeypatch.setattr(index, "EXACT_FACES", exact_faces)
    alive: dict[str, str] = {}
    gone: set[str] = set()
    checked = {"there": 0, "gone": 0}

    async def change(gallery, name, chance):
        for number in range(25):
            if alive and chance.random() < 0.45:
                person = chance.choice(list(alive))
                face_id = alive.pop(person)
                assert await gallery.delete("default", face_id=face_id, deadline=soon()) == 1
                gone.add(person)
            else:
                person = f"{name}{number}"
                alive[person] = await enroll(gallery, person)

    async def look(gallery, chance):
        looks = 0
        while changing or looks < 20:
            looks += not changing
            person = chance.choice(sorted(alive.keys() | gone) or ["nobody yet"])
            was_alive, was_gone = person in alive, person in gone
            found = await gallery.identify(
                "default", f"{person} 2".encode(), max_results=100, max_distance=0.3, deadline=soon()
            )
            names = [candidate.face.person_id for candidate in found.candidates]
            if was_gone:
                assert person not in names
                checked["gone"] += 1
            if was_alive and person in alive:
                assert person in names
                checked["there"] += 1
            await sleep(0)

    changing = True
    async with opened(max_faces=1000) as one, opened(max_faces=1000) as two, TaskGroup() as looking:
        for seed, gallery in enumerate((one, two, one, two)):
            looking.create_task(look(gallery, random.Random(seed)))
        async with TaskGroup() as changes:
            for seed, gallery in enumerate((one, two, one, two)):
                changes.create_task(change(gallery, f"p{seed}n", random.Random(100 + seed)))
        changing = False
    assert checked["there"] > 10
    assert checked["gone"] > 10


async def test_a_deletion_is_finished_although_its_caller_has_gone(opened):
    """Cancelling the call does not leave half of the work: the face is gone when the gallery closes."""
    async with opened() as gallery:
        await enroll(gallery, "ann")
        async with TaskGroup() as group:
            task = group.create_task(gallery.delete("default", person_id="ann", deadline=soon()))
            await sleep(0)
            await sleep(0)
            task.cancel()
    async with opened() as gallery:
        page = await gallery.faces(
            "default", person_id="", page_size=10, page_token="", embeddings=False, deadline=soon()
        )
        assert page.faces == []
