"""The rows of the gallery: what is written, read and deleted in one transaction each. It knows ciphertext only.

Each change of a tenant holds the lock on the tenant's row, so that changes become visible in the order of their
numbers: whoever has read a change number C can read all that was enrolled and deleted up to C.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, delete, insert, literal, select, text, update
from sqlalchemy.engine import Row as Result
from sqlalchemy.ext.asyncio import AsyncConnection

from services.mesh import errors
from services.mesh.database import Database
from services.vision.pipelines.faces.gallery.schema import deletions, faces, tenants

# A replica that is further behind reads everything anew.
MAX_DELETIONS_LISTED = 10_000
# Rows read at once.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class FaceRow:
    """A face as it is stored. number: 0 before it is. create_time: microseconds since 1970."""

    face_id: str
    model: str
    key_id: str
    vector: bytes = field(repr=False)
    person: bytes = field(repr=False)
    person_hash: bytes = field(repr=False)
    request_hash: bytes | None = field(repr=False)
    create_time: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class VectorRow:
    """What the index needs of a face."""

    number: int
    face_id: str
    key_id: str
    vector: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """How far a tenant's gallery has come, and how many faces it has."""

    change: int = 0
    faces: int = 0


class Store:
    """The faces of all tenants. Every method raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self, tenant: str) -> State:
        """Now."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(tenants.c.change, tenants.c.faces).where(tenants.c.tenant == tenant)
            )
            row = found.one_or_none()
        return State(*row) if row else State()

    async def add(self, tenant: str, row: FaceRow, requests: Sequence[bytes], limit: int) -> FaceRow:
        """Keep a face; the one that the same request added before, if any.

        requests: the request's hash under each key. Raises Exhausted when the tenant has `limit` faces.
        """
        async with self._database.writing() as connection:
            await connection.execute(
                text(
                    "INSERT INTO gallery_tenants (tenant, change, forgotten, faces) VALUES (:tenant, 0, 0, 0) "
                    "ON CONFLICT (tenant) DO NOTHING"
                ),
                {"tenant": tenant},
            )
            change, count = await _locked(connection, tenant) or (0, 0)
            if requests:
                found = await connection.execute(
                    select(faces).where(faces.c.tenant == tenant, faces.c.request_hash.in_(requests))
                )
                earlier = found.one_or_none()
                if earlier:
                    return _row(earlier)
            if count >= limit:
                raise errors.Exhausted(
                    f"the gallery is full: it takes {limit} faces; delete some first",
                    reason="GALLERY_FULL",
                    metadata={"limit": str(limit)},
                )
            added = {name: getattr(row, name) for name in _COLUMNS} | {"number": change + 1}
            await connection.execute(insert(faces).values(tenant=tenant, **added))
            await _advance(connection, tenant, change + 1, faces_more=1)
        return FaceRow(**added)

    async def delete(self, tenant: str, *, face_id: str = "", persons: Sequence[bytes] = ()) -> int:
        """Delete a face, or all of a person, and say how many.

        persons: the person's hash under each key.
        """
        chosen = and_(
            faces.c.tenant == tenant,
            faces.c.person_hash.in_(persons) if persons else faces.c.face_id == face_id,
        )
        async with self._database.writing() as connection:
            count = await _delete(connection, tenant, chosen)
        # Also when there was nothing: it may be a call repeated because its erasing failed.
        await self._database.erase()
        return count

    async def numbered(self, tenant: str, numbers: Sequence[int]) -> list[FaceRow]:
        """The faces of those numbers that are still there, in any order."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(faces).where(faces.c.tenant == tenant, faces.c.number.in_(numbers)))
            return [_row(each) for each in found]

    async def page(self, tenant: str, *, persons: Sequence[bytes] = (), after: int, limit: int) -> list[FaceRow]:
        """Faces in the order of enrolment, from behind a number; of one person when its hashes are given."""
        conditions: list[ColumnElement[bool]] = [faces.c.tenant == tenant, faces.c.number > after]
        if persons:
            conditions.append(faces.c.person_hash.in_(persons))
        async with self._database.reading() as connection:
            found = await connection.execute(select(faces).where(*conditions).order_by(faces.c.number).limit(limit))
            return [_row(each) for each in found]

    async def added(self, tenant: str, model: str, since: int, until: int) -> AsyncGenerator[list[VectorRow], None]:
        """The faces of one model enrolled by the changes since+1 to until that are still there, piece by piece."""
        while True:
            async with self._database.reading() as connection:
                found = await connection.execute(
                    select(faces.c.number, faces.c.face_id, faces.c.key_id, faces.c.vector)
                    .where(
                        faces.c.tenant == tenant,
                        faces.c.model == model,
                        faces.c.number > since,
                        faces.c.number <= until,
                    )
                    .order_by(faces.c.number)
                    .limit(_PAGE)
                )
                rows = [VectorRow(*each) for each in found]
            if rows:
                yield rows
            if len(rows) < _PAGE:
                return
            since = rows[-1].number

    async def removed(self, tenant: str, since: int, until: int) -> list[int] | None:
        """The numbers of the faces deleted by the changes since+1 to until; None when they are no longer listed."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(deletions.c.number).where(
                    deletions.c.tenant == tenant, deletions.c.change > since, deletions.c.change <= until
                )
            )
            numbers = [number for (number,) in found]
            # Read afterwards: what was forgotten in between is then known to be.
            forgotten = await connection.scalar(select(tenants.c.forgotten).where(tenants.c.tenant == tenant))
        return None if forgotten is None or forgotten > since else numbers


async def _delete(connection: AsyncConnection, tenant: str, chosen: ColumnElement[bool]) -> int:
    locked = await _locked(connection, tenant)
    if locked is None:
        return 0
    change = locked[0] + 1
    await connection.execute(
        insert(deletions).from_select(
            ["tenant", "number", "change"], select(faces.c.tenant, faces.c.number, literal(change)).where(chosen)
        )
    )
    count = (await connection.execute(delete(faces).where(chosen))).rowcount
    if count:
        await _advance(connection, tenant, change, faces_more=-count)
        await _forget(connection, tenant, change - MAX_DELETIONS_LISTED)
    return count


async def _locked(connection: AsyncConnection, tenant: str) -> tuple[int, int] | None:
    """The tenant's change number and count of faces, which nobody else changes until the transaction ends."""
    found = await connection.execute(
        select(tenants.c.change, tenants.c.faces).where(tenants.c.tenant == tenant).with_for_update()
    )
    row = found.one_or_none()
    return (row.change, row.faces) if row else None


async def _advance(connection: AsyncConnection, tenant: str, change: int, *, faces_more: int) -> None:
    await connection.execute(
        update(tenants).where(tenants.c.tenant == tenant).values(change=change, faces=tenants.c.faces + faces_more)
    )


async def _forget(connection: AsyncConnection, tenant: str, until: int) -> None:
    """List no more what was deleted up to a change."""
    if until <= 0:
        return
    await connection.execute(delete(deletions).where(deletions.c.tenant == tenant, deletions.c.change <= until))
    await connection.execute(update(tenants).where(tenants.c.tenant == tenant).values(forgotten=until))


_COLUMNS = tuple(FaceRow.__slots__)


def _row(found: Result[tuple[object, ...]]) -> FaceRow:
    return FaceRow(**{name: getattr(found, name) for name in _COLUMNS})
