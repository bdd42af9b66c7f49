"""This process's copy of the galleries: an index a tenant and model, loaded when needed and kept up with the store."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.vision.pipelines.faces.gallery.crypto import Keys, TenantKeys
from services.vision.pipelines.faces.gallery.index import FaceIndex
from services.vision.pipelines.faces.gallery.store import Store, VectorRow

P = ParamSpec("P")
T = TypeVar("T")

# What an index costs beside its vectors, in vectors, so that many small galleries are bounded too.
_LEAST_COST = 1000

Key = tuple[str, str]


class Workers:
    """A few threads for what takes the processor longer than a millisecond or so."""

    def __init__(self, threads: int) -> None:
        # Faiss would otherwise use every core for one search.
        self._pool = ThreadPoolExecutor(threads, "gallery", initializer=partial(faiss.omp_set_num_threads, 1))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the work returns. It goes on when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown(cancel_futures=True)


class Replica:
    """The indexes used last, as many as fit."""

    def __init__(self, store: Store, keys: Keys, workers: Workers, *, max_faces: int) -> None:
        """max_faces: vectors held in memory, of all tenants; the index used last is held whatever its size."""
        self._store = store
        self._keys = keys
        self._workers = workers
        self._max_faces = max_faces
        self._indexes: OrderedDict[Key, FaceIndex] = OrderedDict()
        # Bounded by the calls that the server takes at once.
        self._under_way: dict[Key, asyncio.Task[None]] = {}

    @property
    def held(self) -> list[Key]:
        """Tenants and models in memory, the one used last at the end."""
        return list(self._indexes)

    async def at(self, tenant: str, model: str, change: int) -> FaceIndex:
        """The index, complete up to a change of the store or a later one. Raises what the store and the keys raise."""
        key = (tenant, model)
        while True:
            index = self._indexes.get(key)
            if index is not None and index.change >= change:
                self._indexes.move_to_end(key)
                return index
            task = self._under_way.get(key)
            if task is None:
                task = asyncio.create_task(self._catch_up(key, index, change))
                self._under_way[key] = task
                task.add_done_callback(_observed)
            # It goes on for others, and for the next call, when this caller has no time left.
            await asyncio.shield(task)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, errors.MeshError):
                await task

    async def _catch_up(self, key: Key, index: FaceIndex | None, change: int) -> None:
        try:
            if index is None or not await self._applied(key, index, change):
                await self._load(key, change)
        finally:
            # Not when the task is done, which others may see before its callbacks are called.
            del self._under_way[key]

    async def _applied(self, key: Key, index: FaceIndex, change: int) -> bool:
        """Bring an index up to a change; False when it had better be made anew."""
        since = index.change
        removed = await self._store.removed(key[0], since, change)
        if removed is None:
            return False
        numbers, vectors = await self._read(key, since, change)
        if index.outgrown(len(numbers)):
            return False
        await self._workers.run(index.apply, since, change, numbers, vectors, removed)
        return True

    async def _load(self, key: Key, change: int) -> None:
        """Make an index as of a change, and let those go that were not used for longest."""
        index = FaceIndex()
        numbers, vectors = await self._read(key, 0, change)
        await self._workers.run(index.apply, 0, change, numbers, vectors, ())
        self._indexes[key] = index
        self._indexes.move_to_end(key)
        while len(self._indexes) > 1 and self._cost() > self._max_faces:
            self._indexes.popitem(last=False)

    async def _read(self, key: Key, since: int, until: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The numbers int64[N] and vectors float32[N, D] of what was enrolled between two changes."""
        tenant, model = key
        keys = self._keys.of(tenant)
        numbers: list[int] = []
        pieces: list[NDArray[np.float32]] = []
        async for rows in self._store.added(tenant, model, since, until):
            numbers += [row.number for row in rows]
            pieces.append(await self._workers.run(_vectors, keys, model, rows))
        return await self._workers.run(_joined, numbers, pieces)

    def _cost(self) -> int:
        return sum(max(_LEAST_COST, len(index)) for index in self._indexes.values())


def _vectors(keys: TenantKeys, model: str, rows: Sequence[VectorRow]) -> NDArray[np.float32]:
    return np.stack([keys.decrypt_vector(row.key_id, row.face_id, model, row.vector) for row in rows])


def _joined(numbers: list[int], pieces: list[NDArray[np.float32]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.asarray(numbers, np.int64), np.concatenate(pieces) if pieces else np.empty((0, 0), np.float32)


def _observed(task: asyncio.Task[None]) -> None:
    """A failure is told to those who wait for the task; if nobody does, it is no news."""
    if not task.cancelled():
        task.exception()
