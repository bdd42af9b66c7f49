"""The gallery's database: away, back again, and of another version."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import text

from services.mesh import errors
from services.mesh.database import Database
from services.mesh.deadline import Deadline
from services.vision.pipelines.faces.gallery.schema import SCHEMA
from services.vision.pipelines.faces.gallery.store import State, Store
from tests.postgres import new_database
from tests.unit.vision.gallery.conftest import opener


async def test_a_database_that_is_away_is_unavailable_until_it_is_back(postgres):
    """Calls fail with UNAVAILABLE and when to come back; once the database is there, they succeed."""
    database = Database(postgres.replace("DATABASE", "comes_later"), SCHEMA)
    with pytest.raises(errors.Unavailable) as caught:
        await Store(database).state("default")
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("GALLERY_UNAVAILABLE", 1)
    assert caught.value.__cause__ is None
    await new_database(postgres, "comes_later")
    assert await Store(database).state("default") == State()
    await database.close()


async def test_a_server_that_is_not_there_is_unavailable():
    """So is one that nobody can connect to."""
    database = Database("postgresql://maas:secret@127.0.0.1:1/faces", SCHEMA)
    with pytest.raises(errors.Unavailable) as caught:
        await Store(database).state("default")
    assert "secret" not in str(caught.value)


async def test_connections_that_were_cut_are_made_anew(postgres):
    """A database that restarted costs no call."""
    url = await new_database(postgres, "cut")
    database = Database(url, SCHEMA)
    await Store(database).state("default")
    connection = await asyncpg.connect(postgres.replace("DATABASE", "postgres"))
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'")
    await connection.close()
    assert await Store(database).state("default") == State()
    await database.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    """A directory that cannot be made or a path that is a directory stops the gallery's calls, nothing else."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "faces.sqlite"):
        database = Database(f"sqlite:///{path}", SCHEMA)
        with pytest.raises(errors.Unavailable):
            await Store(database).state("default")


async def test_a_newer_database_is_not_touched(url):
    """An older service refuses tables of a newer version instead of guessing."""
    database = Database(url, SCHEMA)
    await database.prepare()
    async with database.writing() as connection:
        await connection.execute(text("UPDATE gallery_schema SET version = 99"))
    await database.close()
    later = Database(url, SCHEMA)
    with pytest.raises(errors.FailedPrecondition) as caught:
        await later.prepare()
    assert caught.value.reason == "GALLERY_SCHEMA_NEWER"
    await later.close()


async def test_rows_that_were_swapped_are_noticed(url):
    """Who can write to the database, but has no key, cannot give one person's face another's name."""
    async with opener(url)() as gallery:
        for name in ("ann", "bob"):
            await gallery.enroll("default", name.encode(), person_id=name, request_id="", deadline=Deadline.after(60))
        async with gallery._store._database.writing() as connection:
            await connection.execute(
                text(
                    "UPDATE gallery_faces SET person = (SELECT f.person FROM gallery_faces f WHERE f.number = 2) "
                    "WHERE number = 1"
                )
            )
        with pytest.raises(errors.Internal) as caught:
            await gallery.identify("default", b"ann", max_results=1, max_distance=0, deadline=Deadline.after(60))
    assert caught.value.reason == "GALLERY_DAMAGED"


@pytest.mark.parametrize("wrong", ["mysql://u@h/d", "sqlite://", "sqlite:///:memory:", "postgresql:no", "faces.sqlite"])
def test_other_addresses_are_refused(wrong):
    """The sentence says what is taken, and shows no password."""
    with pytest.raises(ValueError, match="sqlite:///path or postgresql://"):
        Database(wrong, SCHEMA)
