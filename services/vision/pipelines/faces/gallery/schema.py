"""The tables of the gallery, and how an older database becomes one of today.

Nothing in them tells who somebody is without the keys: names and vectors are ciphertext, hashes are keyed.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection

from services.mesh import errors

_TABLES = MetaData()

# change: counts the enrolments and deletions of a tenant, so that replicas see that they must catch up. forgotten: the
# last change of which the deletions are no longer listed.
tenants = Table(
    "gallery_tenants",
    _TABLES,
    Column("tenant", String(64), primary_key=True),
    Column("change", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False),
    Column("faces", BigInteger, nullable=False),
)
# number: the change by which the face was enrolled. create_time: microseconds since 1970.
faces = Table(
    "gallery_faces",
    _TABLES,
    Column("tenant", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("face_id", String(36), nullable=False),
    Column("model", String(128), nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("person", LargeBinary, nullable=False),
    Column("person_hash", LargeBinary, nullable=False),
    Column("request_hash", LargeBinary),
    Column("create_time", BigInteger, nullable=False),
    Index("gallery_faces_by_id", "tenant", "face_id", unique=True),
    Index("gallery_faces_by_person", "tenant", "person_hash", "number"),
    Index("gallery_faces_by_request", "tenant", "request_hash", unique=True),
)
# What a replica takes out of its index: numbers alone, which mean nothing once the face is gone.
deletions = Table(
    "gallery_deletions",
    _TABLES,
    Column("tenant", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("change", BigInteger, nullable=False),
    Index("gallery_deletions_by_change", "tenant", "change"),
)
_schema = Table("gallery_schema", _TABLES, Column("version", Integer, nullable=False))


def _first(connection: Connection) -> None:
    _TABLES.create_all(connection, tables=[tenants, faces, deletions])


# One step a version, each from the one before. A step that has been released is not changed any more.
_STEPS = (_first,)
# Of replicas that start together one migrates; the number is the gallery's own among PostgreSQL's advisory locks.
_LOCK = 6_701_137


def migrate(connection: Connection) -> None:
    """Bring the database to today's tables, within the connection's transaction; does nothing when it has them.

    Raises FailedPrecondition when a newer version of this service made it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    _schema.create(connection, checkfirst=True)
    version = connection.execute(select(_schema.c.version)).scalar()
    if version is None:
        version = 0
        connection.execute(insert(_schema).values(version=version))
    if version > len(_STEPS):
        raise errors.FailedPrecondition(
            f"the gallery's store has version {version}, made by a newer service; this one knows {len(_STEPS)}",
            reason="GALLERY_SCHEMA_NEWER",
        )
    for step in _STEPS[version:]:
        step(connection)
    connection.execute(update(_schema).values(version=len(_STEPS)))
