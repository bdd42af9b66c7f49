"""The tables of what the router keeps."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, insert
from sqlalchemy.engine import Connection

from services.mesh.database import Schema

_TABLES = MetaData()

# One row. revision: counts the changes, so that replicas see that they must catch up.
state = Table("router_state", _TABLES, Column("revision", BigInteger, nullable=False))
# create_time, update_time: microseconds since 1970.
documents = Table(
    "router_documents",
    _TABLES,
    Column("kind", String(16), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("etag", String(32), nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
)
# Every document has one at least; the newest is what it is now. version: "" for what has none, and then it is the only
# one. revision: when it became the newest.
versions = Table(
    "router_versions",
    _TABLES,
    Column("kind", String(16), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("version", String(64), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)


def _first(connection: Connection) -> None:
    _TABLES.create_all(connection, tables=[state, documents, versions])
    connection.execute(insert(state).values(revision=0))


SCHEMA = Schema("router", 6_701_138, (_first,))
