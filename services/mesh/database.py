"""A database of ours: SQLite or PostgreSQL, by URL, through SQLAlchemy; its tables made, or brought up to date."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
import structlog
from sqlalchemy import Column, Integer, MetaData, Table, event, insert, select, text, update
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.mesh import errors

log = structlog.get_logger()

_CONNECTIONS = 4
_CONNECT_SECONDS = 5
# How long one statement may take, or wait for another process's transaction.
_STATEMENT_SECONDS = 20
_BEGIN = "maas_begin"
_RETRY_SECONDS = 1.0
# Between tries for what SQLite does not wait for by itself.
_BUSY_SECONDS = 0.02
# Statements that the database refuses; whatever else it raises means that it cannot work now.
_BUGS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one user of a database, and how an older database becomes one of today.

    name: a word for people, for the table that holds the version, and for reasons ("GALLERY_UNAVAILABLE").
    lock: a number that no other schema has among PostgreSQL's advisory locks.
    steps: one a version, each from the one before. A step that has been released is not changed any more.
    """

    name: str
    lock: int
    steps: tuple[Callable[[Connection], None], ...]

    def migrate(self, connection: Connection) -> None:
        """Bring the database to today's tables, within the connection's transaction; does nothing when it has them.

        Raises FailedPrecondition when a newer version of the service made it.
        """
        if connection.dialect.name == "postgresql":
            # Of replicas that start together one migrates.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": self.lock})
        table = Table(f"{self.name}_schema", MetaData(), Column("version", Integer, nullable=False))
        table.create(connection, checkfirst=True)
        version = connection.execute(select(table.c.version)).scalar()
        if version is None:
            version = 0
            connection.execute(insert(table).values(version=version))
        if version > len(self.steps):
            raise errors.FailedPrecondition(
                f"the {self.name}'s store has version {version}, made by a newer service; "
                f"this one knows {len(self.steps)}",
                reason=f"{self.name.upper()}_SCHEMA_NEWER",
            )
        for step in self.steps[version:]:
            step(connection)
        connection.execute(update(table).values(version=len(self.steps)))


class Database:
    """Transactions on the database. Its tables are made, or brought up to date, before the first.

    SQLite: a write-ahead log, deleted bytes overwritten with zeros, and `erase` empties the log. PostgreSQL: deleted
    rows are invisible at once; their bytes leave the files when they are vacuumed and the log is recycled.
    """

    def __init__(self, url: str, schema: Schema) -> None:
        """url: sqlite:///path or postgresql://user:password@host/name, with libpq's parameters. Raises ValueError."""
        self._schema = schema
        opened = _engine(url)
        if opened is None:
            raise ValueError(f"the {schema.name}'s URL must be sqlite:///path or postgresql://user:password@host/name")
        self._engine, self._file = opened
        # SQLite begins no transaction unless it is told to.
        self._reader = self._engine if self._file else self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._prepared = False
        self._preparing = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """For statements that change nothing, each of which sees what was committed before it. Raises Unavailable."""
        await self.prepare()
        with self._translated():
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block or rolled back when it raises. Raises Unavailable."""
        await self.prepare()
        with self._translated():
            async with self._writer.begin() as connection:
                yield connection

    async def prepare(self) -> None:
        """Make the tables, or bring them up to date. Raises Unavailable, or FailedPrecondition for a newer database."""
        async with self._preparing:
            if self._prepared:
                return
            with self._translated():
                if self._file:
                    await asyncio.to_thread(_make_sqlite, self._file)
                async with self._writer.begin() as connection:
                    await connection.run_sync(self._schema.migrate)
            # A process that ended between a deletion and its erasing left that to us.
            await self.erase()
            self._prepared = True

    async def erase(self) -> None:
        """Leave no copy of what was deleted in SQLite's files. Raises Unavailable while others keep it busy."""
        if self._engine.dialect.name != "sqlite":
            return
        with self._translated():
            async with self._reader.connect() as connection:
                until = time.monotonic() + _STATEMENT_SECONDS
                while time.monotonic() < until:
                    # It waits for the transactions that need the log, but not for another that empties it.
                    found = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                    if not found.one()[0]:
                        return
                    await asyncio.sleep(_BUSY_SECONDS)
        raise errors.Unavailable(
            f"what was deleted is gone, but the {self._schema.name}'s store is too busy to erase its bytes; "
            "the next deletion will",
            reason=f"{self._schema.name.upper()}_BUSY",
            retry_after_seconds=_RETRY_SECONDS,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The database's errors in the mesh's words. They are cut off from their causes, which may quote rows."""
        try:
            yield
        except _BUGS as error:
            if not error.connection_invalidated:
                raise
            failure: BaseException = error
        except (DBAPIError, PoolTimeout, OSError, sqlite3.Error, asyncpg.PostgresError) as error:
            failure = error
        else:
            return
        # Errors of this kind tell of connections and locks, not of rows.
        log.warning("a store failed", store=self._schema.name, cause=str(getattr(failure, "orig", failure))[:200])
        raise errors.Unavailable(
            f"the {self._schema.name}'s store is not reachable",
            reason=f"{self._schema.name.upper()}_UNAVAILABLE",
            retry_after_seconds=_RETRY_SECONDS,
        ) from None


def _engine(url: str) -> tuple[AsyncEngine, Path | None] | None:
    """What speaks to the database, and SQLite's file; None for another kind of URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    if parsed.get_backend_name() == "postgresql":

        async def connect(*_: object, **__: object) -> Any:
            plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
            return await asyncpg.connect(plain, timeout=_CONNECT_SECONDS, command_timeout=_STATEMENT_SECONDS)

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            pool_size=_CONNECTIONS,
            pool_timeout=_STATEMENT_SECONDS,
            pool_pre_ping=True,
        )
        return engine, None
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        return None
    engine = create_async_engine(
        parsed.set(drivername="sqlite+aiosqlite"),
        connect_args={"timeout": _STATEMENT_SECONDS, "isolation_level": None},
        hide_parameters=True,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=_STATEMENT_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine, Path(parsed.database)


def _make_sqlite(path: Path) -> None:
    """Make the file, for its owner alone, and give it its log, as long as it lives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # SQLite gives the log the same mode.
    path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as connection:
        until = time.monotonic() + _CONNECT_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                # Another process is about it; SQLite's own time-out does not count here.
                if time.monotonic() > until:
                    raise
                time.sleep(_BUSY_SECONDS)
            else:
                return


def _set_up_sqlite(connection: Any, _: object) -> None:
    cursor: sqlite3.Cursor = connection.cursor()
    for pragma in (
        "synchronous=FULL",  # what was answered outlives a power cut
        "secure_delete=ON",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begin the transaction: Python's driver would only do so before the first change, and wait for nobody."""
    statement = connection.get_execution_options().get(_BEGIN)
    if statement:
        connection.exec_driver_sql(statement)
