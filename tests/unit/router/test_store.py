"""What the router keeps, on both kinds of database and in several replicas."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text

from services.mesh import errors
from services.mesh.database import Database
from services.router import store as module
from services.router.pipelines.documents import GRAPH, TRAFFIC
from services.router.schema import SCHEMA
from services.router.store import MAX_DOCUMENTS, MAX_VERSIONS, open_store
from tests.postgres import new_database

BOUND_SECONDS = 20


class Heard:
    """What a listener was told, in order."""

    def __init__(self, store):
        self._changes = asyncio.Queue()
        store.listen(lambda kind, name, document: self._changes.put_nowait((kind, name, document)))

    async def next(self):
        async with asyncio.timeout(BOUND_SECONDS):
            return await self._changes.get()

    def empty(self):
        return self._changes.empty()


@asynccontextmanager
async def administrator(postgres):
    connection = await asyncpg.connect(postgres.replace("DATABASE", "postgres"))
    yield connection
    await connection.close()


async def test_a_document_is_kept(url):
    """What is created is there at once, with an etag and times, and is there when the store is opened again."""
    async with open_store(url) as store:
        created = await store.create(TRAFFIC, "graphs/greet", "{}")
        assert (created.body, created.versions) == ("{}", ())
        assert created.create_time == created.update_time > 0
        assert store.get(TRAFFIC, "graphs/greet") == created
        assert store.get(GRAPH, "graphs/greet") is None
    async with open_store(url) as store:
        assert store.list(TRAFFIC) == [created]


async def test_a_name_is_taken_once(url):
    """A second document of a kind and name is refused; one of another kind is not."""
    async with open_store(url) as store:
        await store.create(GRAPH, "greet", "1", "v1")
        with pytest.raises(errors.AlreadyExists) as caught:
            await store.create(GRAPH, "greet", "2", "v2")
        assert caught.value.reason == "GRAPH_ALREADY_EXISTS"
        await store.create(TRAFFIC, "greet", "3")
        assert store.get(GRAPH, "greet").body == "1"


async def test_an_update_gives_a_new_etag(url):
    """The document is replaced; the time of its creation stays."""
    async with open_store(url) as store:
        created = await store.create(TRAFFIC, "graphs/greet", "1")
        updated = await store.put(TRAFFIC, "graphs/greet", "2", etag=created.etag)
        assert (updated.body, updated.create_time, updated.versions) == ("2", created.create_time, ())
        assert updated.etag != created.etag
        assert store.get(TRAFFIC, "graphs/greet") == updated


async def test_another_etag_aborts(url):
    """Who read a document before another changed it cannot change or delete it; without an etag everybody can."""
    async with open_store(url) as store:
        created = await store.create(GRAPH, "greet", "1", "v1")
        updated = await store.put(GRAPH, "greet", "2", "v2")
        with pytest.raises(errors.Aborted):
            await store.put(GRAPH, "greet", "3", "v3", etag=created.etag)
        with pytest.raises(errors.Aborted):
            await store.delete(GRAPH, "greet", etag=created.etag)
        assert store.get(GRAPH, "greet") == updated
        await store.delete(GRAPH, "greet")
        assert store.get(GRAPH, "greet") is None


@pytest.mark.parametrize("name", ["nobody", "no\0body"])
async def test_what_is_not_there_is_not_found(url, name):
    """It can neither be replaced nor deleted, whatever its name."""
    async with open_store(url) as store:
        with pytest.raises(errors.NotFound) as caught:
            await store.put(TRAFFIC, name, "1")
        assert caught.value.reason == "TRAFFIC_POLICY_NOT_FOUND"
        with pytest.raises(errors.NotFound) as caught:
            await store.delete(GRAPH, name)
        assert caught.value.reason == "GRAPH_NOT_FOUND"


async def test_the_newest_versions_are_kept(url):
    """Sixteen, newest first; a version that comes again is the newest, and is there once."""
    async with open_store(url) as store:
        await store.create(GRAPH, "greet", "body 0", "v0")
        for number in range(1, MAX_VERSIONS + 2):
            document = await store.put(GRAPH, "greet", f"body {number}", f"v{number}")
        assert document.versions == tuple((f"v{number}", f"body {number}") for number in range(MAX_VERSIONS + 1, 1, -1))
        again = await store.put(GRAPH, "greet", "body 5", "v5")
        assert again.body == "body 5"
        assert len(again.versions) == MAX_VERSIONS
        assert [version for version, _ in again.versions[:2]] == ["v5", f"v{MAX_VERSIONS + 1}"]


async def test_a_graph_takes_its_policy_and_versions_along(url):
    """Deleting a graph deletes its traffic policy and what it was before; other graphs keep theirs."""
    async with open_store(url) as store:
        heard = Heard(store)
        for name in ("greet", "other"):
            await store.create(GRAPH, name, "1", "v1")
            await store.create(TRAFFIC, f"graphs/{name}", "{}")
        for _ in range(4):
            await heard.next()
        await store.delete(GRAPH, "greet")
        assert [await heard.next(), await heard.next()] == [
            (GRAPH, "greet", None),
            (TRAFFIC, "graphs/greet", None),
        ]
        assert [each.name for each in (*store.list(GRAPH), *store.list(TRAFFIC))] == ["other", "graphs/other"]
        anew = await store.create(GRAPH, "greet", "2", "v2")
        assert anew.versions == (("v2", "2"),)


async def test_a_kind_is_bounded(url):
    """Of each kind 256 are kept; after a deletion there is room again."""
    database = Database(url, SCHEMA)
    async with database.writing() as connection:
        for number in range(MAX_DOCUMENTS):
            key = {"kind": GRAPH, "name": f"g{number}"}
            for statement in (
                "INSERT INTO router_documents VALUES (:kind, :name, 'e', 0, 0)",
                "INSERT INTO router_versions VALUES (:kind, :name, 'v', 0, '1')",
            ):
                await connection.execute(text(statement), key)
    await database.close()
    async with open_store(url) as store:
        with pytest.raises(errors.Exhausted) as caught:
            await store.create(GRAPH, "one-more", "1", "v1")
        assert caught.value.metadata == {"limit": "256"}
        await store.create(TRAFFIC, "graphs/g0", "{}")
        await store.delete(GRAPH, "g7")
        await store.create(GRAPH, "one-more", "1", "v1")
        assert len(store.list(GRAPH)) == MAX_DOCUMENTS


async def test_replicas_see_what_others_change(url):
    """What one replica creates, changes and deletes, another hears of, with all its versions."""
    async with open_store(url) as one, open_store(url) as other:
        heard = Heard(other)
        created = await one.create(GRAPH, "greet", "1", "v1")
        assert await heard.next() == (GRAPH, "greet", created)
        updated = await one.put(GRAPH, "greet", "2", "v2")
        assert await heard.next() == (GRAPH, "greet", updated)
        assert other.get(GRAPH, "greet") == updated
        assert updated.versions == (("v2", "2"), ("v1", "1"))
        await one.delete(GRAPH, "greet")
        assert await heard.next() == (GRAPH, "greet", None)
        assert other.list(GRAPH) == []


async def test_a_change_is_told_once(url):
    """A replica's own change is told when it is made, and not again when the replica looks at the database."""
    async with open_store(url) as store:
        heard = Heard(store)
        created = await store.create(GRAPH, "greet", "1", "v1")
        assert await heard.next() == (GRAPH, "greet", created)
        await store.catch_up()
        assert heard.empty()


async def test_a_listener_is_told_what_there_is(url):
    """Who begins to listen hears of what is kept already; one that fails keeps nobody else from hearing."""

    def fails(kind, name, document):
        if document.body != "1":
            raise RuntimeError

    async with open_store(url) as store:
        created = await store.create(GRAPH, "greet", "1", "v1")
        store.listen(fails)
        heard = Heard(store)
        assert await heard.next() == (GRAPH, "greet", created)
        updated = await store.put(GRAPH, "greet", "2", "v2")
        assert await heard.next() == (GRAPH, "greet", updated)


async def test_replicas_that_write_at_once_lose_nothing(url):
    """Of two replicas that replace the same etag one succeeds; of others' documents none is lost."""
    async with open_store(url) as one, open_store(url) as other:
        created = await one.create(GRAPH, "greet", "1", "v1")
        changes = [each.put(GRAPH, "greet", "2", "v2", etag=created.etag) for each in (one, other)]
        news = [each.create(TRAFFIC, f"m{n}", "{}") for n, each in enumerate((one, other) * 4)]
        results = await asyncio.gather(*changes, *news, return_exceptions=True)
        failures = [each for each in results if isinstance(each, BaseException)]
        assert [type(each) for each in failures] == [errors.Aborted]
        for each in (one, other):
            await each.catch_up()
        assert one.list(TRAFFIC) == other.list(TRAFFIC)
        assert [each.name for each in one.list(TRAFFIC)] == [f"m{n}" for n in range(8)]
        assert one.list(GRAPH) == other.list(GRAPH)


async def test_a_database_that_goes_away_takes_nothing_along(postgres):
    """Reads go on from memory and changes are UNAVAILABLE; when it is back, the replica hears what it missed."""
    url = await new_database(postgres, "goes_away")
    async with open_store(url) as store, administrator(postgres) as admin:
        created = await store.create(GRAPH, "greet", "1", "v1")
        heard = Heard(store)
        await heard.next()
        await admin.execute("ALTER DATABASE goes_away ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'goes_away'")
        with pytest.raises(errors.Unavailable) as caught:
            await store.put(GRAPH, "greet", "2", "v2")
        assert (caught.value.reason, caught.value.retry_after_seconds) == ("ROUTER_UNAVAILABLE", 1)
        assert not await store.look()
        assert store.get(GRAPH, "greet") == created
        await admin.execute("ALTER DATABASE goes_away ALLOW_CONNECTIONS true")
        async with open_store(url) as other:
            updated = await other.put(GRAPH, "greet", "2", "v2")
        assert await heard.next() == (GRAPH, "greet", updated)


async def test_a_database_that_was_never_there_is_told(postgres, monkeypatch):
    """Until a replica has read it once, nobody can say what is kept; then it is there without a restart."""
    monkeypatch.setattr(module, "_AWAY_SECONDS", 0.05)
    async with open_store(postgres.replace("DATABASE", "comes_late")) as store:
        heard = Heard(store)
        for read in (lambda: store.get(GRAPH, "greet"), lambda: store.list(GRAPH)):
            with pytest.raises(errors.Unavailable):
                read()
        async with open_store(await new_database(postgres, "comes_late")) as other:
            created = await other.create(GRAPH, "greet", "1", "v1")
        assert await heard.next() == (GRAPH, "greet", created)
        assert store.list(GRAPH) == [created]


async def test_a_newer_store_is_not_touched(url):
    """A router that does not know the tables says so, and runs without what is kept."""
    database = Database(url, SCHEMA)
    async with database.writing() as connection:
        await connection.execute(text("UPDATE router_schema SET version = 99"))
    await database.close()
    async with open_store(url) as store:
        with pytest.raises(errors.FailedPrecondition) as caught:
            store.list(GRAPH)
        assert caught.value.reason == "ROUTER_SCHEMA_NEWER"


async def test_a_row_that_cannot_be_read_does_not_end_the_watching(url):
    """A table that is gone is logged; the replica looks again."""
    async with open_store(url) as store:
        database = Database(url, SCHEMA)
        async with database.writing() as connection:
            await connection.execute(text("DROP TABLE router_state"))
        assert not await store.look()
        async with database.writing() as connection:
            await connection.execute(text("CREATE TABLE router_state (revision BIGINT)"))
            await connection.execute(text("INSERT INTO router_state VALUES (7)"))
        await database.close()
        assert await store.look()
        assert store.list(GRAPH) == []


async def test_an_address_that_is_none_is_refused():
    """The sentence says what is taken."""
    with pytest.raises(ValueError, match="the router's URL must be sqlite:///path or postgresql://"):
        async with open_store("mysql://u@h/d"):
            pass
