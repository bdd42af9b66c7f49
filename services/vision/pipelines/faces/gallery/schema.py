"""The tables of the gallery.

Nothing in them tells who somebody is without the keys: names and vectors are ciphertext, hashes are keyed.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table
from sqlalchemy.engine import Connection

from services.mesh.database import Schema

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


def _first(connection: Connection) -> None:
    _TABLES.create_all(connection, tables=[tenants, faces, deletions])


SCHEMA = Schema("gallery", 6_701_137, (_first,))
