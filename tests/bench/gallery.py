"""What the gallery of faces takes on this machine at several sizes: time, memory, and what searching cells misses.

Run it with `.venv/bin/python -m tests.bench.gallery`. The faces are vectors drawn like those of dlib's model, whose
persons are some 0.6 apart and whose pictures of one person some 0.3; finding them on a picture is not part of it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import uvloop
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from services.mesh.database import Database
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Region
from services.vision.pipelines.faces.face import Face
from services.vision.pipelines.faces.gallery import schema
from services.vision.pipelines.faces.gallery.crypto import Keys, Place
from services.vision.pipelines.faces.gallery.gallery import Gallery, open_gallery

SIZES = (100, 10_000, 30_000, 100_000)
DIMENSION = 128
# As many dimensions as a set of real faces needs, more or less.
RANK = 60
FACES_A_PERSON = 3
LOOKS = 500
KEY = bytes(32)
CARD = ModelCard(name="dlib", task="face-embedding", summary="", postprocess={"max_distance": 0.38})


class Faces:
    """Vectors float32[N, 128] of length 1."""

    def __init__(self) -> None:
        self._chance = np.random.default_rng(7)
        self._middle = self._unit(1)[0]
        self._directions = self._chance.normal(size=(RANK, DIMENSION)) / np.sqrt(DIMENSION)
        self._directions *= np.linspace(1, 0.2, RANK)[:, None]

    def persons(self, count: int) -> NDArray[np.float32]:
        """One vector a person, not yet of length 1."""
        return self._middle + 0.11 * self._chance.normal(size=(count, RANK)) @ self._directions

    def pictures(self, persons: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture of each."""
        made = persons + 0.052 * self._chance.normal(size=(len(persons), RANK)) @ self._directions
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    def _unit(self, count: int) -> NDArray[np.float64]:
        made = self._chance.normal(size=(count, DIMENSION))
        return made / np.linalg.norm(made, axis=1, keepdims=True)


class Encoder:
    """The content is the vector."""

    def card(self, embedding_model: str = "") -> ModelCard:
        return CARD

    async def encode(
        self, content: bytes, *, field: str, embedding_model: str = "", only_one: bool = False, deadline: Deadline
    ) -> Face:
        vector = np.frombuffer(content, np.float32)
        return Face(Region(0, 0, 1, 1), 1.0, np.zeros((5, 2), np.float32), embedding=vector, embedding_model=CARD.name)


async def fill(url: str, vectors: NDArray[np.float32]) -> None:
    """Put faces into an empty database in one transaction."""
    keys, database = Keys([KEY]).of("default"), Database(url, schema.SCHEMA)
    await database.prepare()
    async with database.writing() as connection:
        await connection.execute(
            insert(schema.tenants), {"tenant": "default", "change": len(vectors), "forgotten": 0, "faces": len(vectors)}
        )
        for start in range(0, len(vectors), 1000):
            part = enumerate(vectors[start : start + 1000], start + 1)
            await connection.execute(insert(schema.faces), [_row(keys, number, vector) for number, vector in part])
    await database.close()


def _row(keys, number: int, vector: NDArray[np.float32]) -> dict[str, object]:
    face_id, person = f"00000000-0000-0000-0000-{number:012}", f"person {number // FACES_A_PERSON}"
    return {
        "tenant": "default",
        "number": number,
        "face_id": face_id,
        "model": CARD.name,
        "key_id": keys.key_id,
        "vector": keys.encrypt_vector(face_id, CARD.name, vector),
        "person": keys.encrypt(Place(face_id, CARD.name, "person"), person.encode()),
        "person_hash": keys.find("person", person)[0],
        "request_hash": None,
        "create_time": number,
    }


def resident_megabytes() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def timed(work) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def longest_step(until: asyncio.Event) -> float:
    """How much processor time the event loop took at most without looking up, in milliseconds."""
    longest, last = 0.0, time.thread_time()
    while not until.is_set():
        await asyncio.sleep(0.001)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest * 1000


async def identify(gallery: Gallery, vector: NDArray[np.float32]):
    return await gallery.identify(
        "default", vector.tobytes(), max_results=5, max_distance=0, deadline=Deadline.after(60)
    )


async def measure(size: int, table: Table) -> None:
    """One row."""
    faces = Faces()
    persons = faces.persons(-(-size // FACES_A_PERSON))
    vectors = faces.pictures(np.repeat(persons, FACES_A_PERSON, axis=0)[:size])
    wanted = np.random.default_rng(1).integers(0, len(persons), LOOKS)
    looks = faces.pictures(persons[wanted])
    squares = 2 - 2 * looks @ vectors.T
    nearest = np.sqrt(np.maximum(squares.min(axis=1), 0))
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/faces.sqlite"
        await fill(url, vectors)
        before = resident_megabytes()
        opened = open_gallery(url, [KEY], Encoder(), max_faces=200_000, max_faces_in_memory=10**6, threads=2)
        async with opened as gallery:
            loaded = asyncio.Event()
            step = asyncio.create_task(longest_step(loaded))
            load = await timed(identify(gallery, looks[0]))
            loaded.set()
            memory = resident_megabytes() - before
            found = [await identify(gallery, look) for look in looks]
            began = time.process_time()
            times = [await timed(identify(gallery, look)) for look in looks[:300]]
            processor = (time.process_time() - began) / 300 * 1000
            within = [index for index in range(LOOKS) if nearest[index] <= 0.379]
            right = sum(
                bool(found[index].candidates) and abs(found[index].candidates[0].distance - nearest[index]) < 1e-3
                for index in within
            )
            limit = asyncio.Semaphore(8)

            async def one(look: NDArray[np.float32]) -> float:
                async with limit:
                    return await timed(identify(gallery, look))

            eight = await asyncio.gather(*(one(look) for look in looks[:400]))
            enrol, delete = [], []
            for look in looks[:30]:
                began = time.perf_counter()
                face = await gallery.enroll(
                    "default", look.tobytes(), person_id="new", request_id="", deadline=Deadline.after(60)
                )
                enrol.append((time.perf_counter() - began) * 1000)
                delete.append(await timed(gallery.delete("default", face_id=face.face_id, deadline=Deadline.after(60))))
            after = await timed(identify(gallery, looks[0]))
        stranger = np.sqrt(np.median(squares))
        table.add_row(
            f"{size:,}", f"{load / 1000:.2f} s", f"{await step:.0f} ms", f"{memory:.0f} MB", f"{processor:.1f}",
            *(f"{percentile:.1f}" for percentile in (*_percentiles(times), *_percentiles(eight))),
            f"{right / len(within):.4f} of {len(within)}", f"{statistics.median(enrol):.1f}",
            f"{statistics.median(delete):.1f}", f"{after:.1f}", f"{np.median(nearest):.2f} / {stranger:.2f}",
        )  # fmt: skip


def _percentiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


async def main() -> None:
    table = Table(title="the gallery of faces, SQLite; milliseconds unless it says otherwise")
    for column in (
        "faces", "load", "loop held (processor)", "memory", "identify: processor", "p50", "p95", "8 at once p50", "p95",
        "recall@1", "enrol", "delete", "identify after 60 changes", "nearest / stranger",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for size in SIZES:
        await measure(size, table)
    Console(width=200).print(table)


if __name__ == "__main__":
    uvloop.run(main())
