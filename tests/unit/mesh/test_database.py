"""Schemas of databases: their steps, and several in one database."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.mesh import errors
from services.mesh.database import Database, Schema


def step(statement: str):
    return lambda connection: connection.execute(text(statement))


FIRST = step("CREATE TABLE things (name TEXT)")
SECOND = step("INSERT INTO things VALUES ('old')")
THIRD = step("ALTER TABLE things ADD COLUMN size INTEGER DEFAULT 7")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'things.sqlite'}"


async def rows(database: Database, statement: str) -> list[tuple]:
    async with database.reading() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def test_an_older_database_is_brought_up_to_date(url):
    """Each step is done once, in order, whichever version made the database."""
    for steps in ((FIRST, SECOND), (FIRST, SECOND), (FIRST, SECOND, THIRD)):
        database = Database(url, Schema("thing", 1, steps))
        await database.prepare()
        await database.close()
    assert await rows(database, "SELECT name, size FROM things") == [("old", 7)]
    assert await rows(database, "SELECT version FROM thing_schema") == [(3,)]
    await database.close()


async def test_a_step_that_fails_changes_nothing(url):
    """The steps before it are undone with it, and the next service begins anew."""
    broken = Database(url, Schema("thing", 1, (FIRST, step("INSERT INTO nowhere VALUES (1)"))))
    with pytest.raises(errors.Unavailable):
        await broken.prepare()
    await broken.close()
    database = Database(url, Schema("thing", 1, (FIRST, SECOND)))
    assert await rows(database, "SELECT name FROM things") == [("old",)]
    await database.close()


async def test_schemas_share_a_database(url):
    """Each has its own version, and its own name in what people see."""
    one, other = Database(url, Schema("thing", 1, (FIRST,))), Database(url, Schema("thought", 2, ()))
    await one.prepare()
    await other.prepare()
    assert await rows(other, "SELECT (SELECT version FROM thing_schema), version FROM thought_schema") == [(1, 0)]
    with pytest.raises(errors.Unavailable, match="the thought's store is not reachable") as caught:
        await rows(other, "SELECT * FROM nowhere")
    assert caught.value.reason == "THOUGHT_UNAVAILABLE"
    await one.close()
    await other.close()


async def test_a_transaction_that_raises_leaves_nothing(url):
    """What a block wrote before its error is undone, and the error is the caller's."""
    database = Database(url, Schema("thing", 1, (FIRST,)))

    async def change():
        async with database.writing() as connection:
            await connection.execute(text("INSERT INTO things VALUES ('new')"))
            raise errors.Aborted("no")

    with pytest.raises(errors.Aborted):
        await change()
    assert await rows(database, "SELECT name FROM things") == []
    await database.close()
