"""Keeps documents in a database that all replicas share (services.router.pipelines.documents.Store).

A replica answers from its memory, which it brings up to date whenever the database's count of changes has moved. While
the database is away it goes on with what it knows; only changes fail.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.mesh import errors
from services.mesh.background import background
from services.mesh.database import Database
from services.router.pipelines.documents import GRAPH, TRAFFIC, Document, Listener
from services.router.schema import SCHEMA, documents, state, versions

log = structlog.get_logger()

MAX_DOCUMENTS = 256
MAX_VERSIONS = 16
_WATCH_SECONDS = 0.4
# Between tries of a database that is away.
_AWAY_SECONDS = 2.0
_NAMES = {GRAPH: "graph", TRAFFIC: "traffic policy"}

_Key = tuple[str, str]


class SqlStore:
    """What is kept, as this replica knows it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._documents: dict[_Key, Document] = {}
        self._revision = -1
        # Why nothing has been read so far.
        self._unread: errors.MeshError | None = errors.Unavailable("the router's store was not read yet")
        self._listeners: list[Listener] = []
        # What is read is told before anything newer is, own changes included.
        self._order = asyncio.Lock()

    async def create(self, kind: str, name: str, body: str, version: str = "") -> Document:
        """A new one. Raises AlreadyExists, and Exhausted when 256 of its kind are kept."""
        async with self._order:
            async with self._database.writing() as connection:
                revision = await _advance(connection)
                if await _etag(connection, kind, name) is not None:
                    raise errors.AlreadyExists(
                        f"there is a {_NAMES[kind]} {name!r}; update it, or choose another name",
                        reason=f"{_word(kind)}_ALREADY_EXISTS",
                    )
                count = select(func.count()).select_from(documents).where(documents.c.kind == kind)
                if (await connection.execute(count)).scalar_one() >= MAX_DOCUMENTS:
                    raise errors.Exhausted(
                        f"{MAX_DOCUMENTS} are kept, which is the limit; delete a {_NAMES[kind]} first",
                        reason="STORE_FULL",
                        metadata={"limit": str(MAX_DOCUMENTS)},
                    )
                now = _now()
                row = {"kind": kind, "name": name, "etag": _new_etag(), "create_time": now, "update_time": now}
                await connection.execute(insert(documents).values(row))
                await _add_version(connection, (kind, name), version, body, revision)
                document = await _required(connection, kind, name)
            self._set((kind, name), document)
        return document

    async def put(self, kind: str, name: str, body: str, version: str = "", etag: str = "") -> Document:
        """Replace one. Raises NotFound, and Aborted when etag is given and another is kept."""
        async with self._order:
            async with self._database.writing() as connection:
                revision = await _advance(connection)
                await _require(connection, kind, name, etag)
                await connection.execute(
                    update(documents)
                    .where(documents.c.kind == kind, documents.c.name == name)
                    .values(etag=_new_etag(), update_time=_now())
                )
                await _add_version(connection, (kind, name), version, body, revision)
                document = await _required(connection, kind, name)
            self._set((kind, name), document)
        return document

    async def delete(self, kind: str, name: str, etag: str = "") -> None:
        """Remove one with its versions, and with a graph its traffic policy. Raises as `put` does."""
        keys = [(kind, name)]
        if kind == GRAPH:
            keys.append((TRAFFIC, f"graphs/{name}"))
        async with self._order:
            async with self._database.writing() as connection:
                await _advance(connection)
                await _require(connection, kind, name, etag)
                for each in keys:
                    for table in (documents, versions):
                        await connection.execute(delete(table).where(table.c.kind == each[0], table.c.name == each[1]))
            for each in keys:
                self._set(each, None)

    def get(self, kind: str, name: str) -> Document | None:
        """As it was when this replica last looked. Raises Unavailable when it never could."""
        self._require_read()
        return self._documents.get((kind, name))

    def list(self, kind: str) -> list[Document]:
        """All of a kind, by name; see `get`."""
        self._require_read()
        return [document for key, document in sorted(self._documents.items()) if key[0] == kind]

    def listen(self, listener: Listener) -> None:
        """Tell a listener of every change from now on, and at once of what there is."""
        self._listeners.append(listener)
        for (kind, name), document in sorted(self._documents.items()):
            listener(kind, name, document)

    async def catch_up(self) -> None:
        """Read what others changed. Raises Unavailable."""
        async with self._order, self._database.reading() as connection:
            revision = (await connection.execute(select(state.c.revision))).scalar_one()
            if revision == self._revision:
                return
            found = await connection.execute(select(documents.c.kind, documents.c.name, documents.c.etag))
            etags = {(kind, name): etag for kind, name, etag in found}
            for key in self._documents.keys() - etags.keys():
                self._set(key, None)
            for key, etag in etags.items():
                held = self._documents.get(key)
                if held is None or held.etag != etag:
                    # Perhaps newer than its etag above, or gone: then the count has moved again.
                    self._set(key, await _read(connection, *key))
            self._revision, self._unread = revision, None

    async def watch(self) -> None:
        """Catch up for ever."""
        while True:
            there = await self.look()
            await asyncio.sleep(_WATCH_SECONDS if there else _AWAY_SECONDS)

    async def look(self) -> bool:
        """Catch up if that is possible."""
        try:
            await self.catch_up()
        except errors.MeshError as error:
            # The database has logged it.
            self._unread = self._unread and error
        except Exception as error:  # noqa: BLE001 - a replica must not stay behind for ever because of one row
            log.warning("the router's store cannot be read", cause=f"{type(error).__name__}: {error}"[:200])
        else:
            return True
        return False

    def _require_read(self) -> None:
        if self._unread:
            # The same again; it must not grow by where it was raised before.
            raise self._unread.with_traceback(None)

    def _set(self, key: _Key, document: Document | None) -> None:
        """Remember a document, or that it is gone, and tell the listeners."""
        if document is None and self._documents.pop(key, None) is None:
            return
        if document is not None:
            self._documents[key] = document
        for listener in self._listeners:
            try:
                listener(*key, document)
            except Exception:  # the change is made, and others must hear of it
                log.exception("a change of what the router keeps could not be taken up", kind=key[0], name=key[1])


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[SqlStore]:
    """The store on a database, watched for as long as the block runs.

    url: sqlite:///path or postgresql://... A database that is away is waited for by no one. Raises ValueError for
    another kind of URL.
    """
    database = Database(url, SCHEMA)
    store = SqlStore(database)
    await store.look()
    try:
        async with background(store.watch()):
            yield store
    finally:
        await database.close()


async def _advance(connection: AsyncConnection) -> int:
    """The number of this change. Until the transaction ends nobody else makes one."""
    await connection.execute(update(state).values(revision=state.c.revision + 1))
    return int((await connection.execute(select(state.c.revision))).scalar_one())


async def _etag(connection: AsyncConnection, kind: str, name: str) -> str | None:
    if "\0" in name:
        return None  # PostgreSQL would not take the question.
    found: str | None = await connection.scalar(
        select(documents.c.etag).where(documents.c.kind == kind, documents.c.name == name)
    )
    return found


async def _require(connection: AsyncConnection, kind: str, name: str, etag: str) -> None:
    held = await _etag(connection, kind, name)
    if held is None:
        raise errors.NotFound(
            f"no {_NAMES[kind]} is called {errors.quoted(name)}",
            reason=f"{_word(kind)}_NOT_FOUND",
            metadata={_NAMES[kind]: name[:100]},
        )
    if etag and etag != held:
        raise errors.Aborted(f"the {_NAMES[kind]} {name!r} has another etag; read it again and repeat")


async def _add_version(connection: AsyncConnection, key: _Key, version: str, body: str, revision: int) -> None:
    """Make a version the newest; of those before it as many stay as are kept."""
    kind, name = key
    of_it = (versions.c.kind == kind, versions.c.name == name)
    await connection.execute(delete(versions).where(*of_it, versions.c.version == version))
    await connection.execute(
        insert(versions).values(kind=kind, name=name, version=version, revision=revision, body=body)
    )
    newest_first = select(versions.c.revision).where(*of_it).order_by(versions.c.revision.desc())
    oldest = await connection.scalar(newest_first.offset(MAX_VERSIONS - 1).limit(1))
    if oldest is not None:
        await connection.execute(delete(versions).where(*of_it, versions.c.revision < oldest))


async def _read(connection: AsyncConnection, kind: str, name: str) -> Document | None:
    """A document with its versions, in one statement, so that they belong together."""
    found = await connection.execute(
        select(documents.c.etag, documents.c.create_time, documents.c.update_time, versions.c.version, versions.c.body)
        .join(versions, (versions.c.kind == documents.c.kind) & (versions.c.name == documents.c.name))
        .where(documents.c.kind == kind, documents.c.name == name)
        .order_by(versions.c.revision.desc())
    )
    rows = found.all()
    if not rows:
        return None
    etag, create_time, update_time, _, body = rows[0]
    kept = tuple((row.version, row.body) for row in rows if row.version)
    return Document(kind, name, body, etag, create_time, update_time, kept)


async def _required(connection: AsyncConnection, kind: str, name: str) -> Document:
    document = await _read(connection, kind, name)
    if document is None:
        raise errors.Internal("a document that was written is not there")
    return document


def _word(kind: str) -> str:
    return _NAMES[kind].upper().replace(" ", "_")


def _new_etag() -> str:
    return secrets.token_hex(8)


def _now() -> int:
    return time.time_ns() // 1000
