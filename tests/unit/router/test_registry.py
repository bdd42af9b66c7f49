"""The graphs that a router knows: those of its folder and those that are kept."""

from __future__ import annotations

import asyncio

import pytest

from services.mesh import errors
from services.router import registry as module
from services.router.compiling import compile_graph, read, to_json
from services.router.pipelines.documents import GRAPH, TRAFFIC
from services.router.registry import Broken, Registry, Runnable
from services.router.store import open_store
from tests.unit.router.graphs_of_tests import Callers, judging

BOUND_SECONDS = 20


def compiled(name, **how):
    source = read(judging(name, **how))
    return compile_graph(source.graph, line=source.line)


def body(graph):
    return to_json(graph.graph)


async def keep(store, graph):
    """Create it, or update it."""
    name = graph.graph.name
    change = store.put if store.get(GRAPH, name) else store.create
    return await change(GRAPH, name, body(graph), graph.version)


async def until(condition):
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def built_in():
    return {name: compiled(name) for name in ("greet", "judge")}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'router.sqlite'}"


@pytest.fixture
async def store(url):
    async with open_store(url) as store:
        yield store


def test_graphs_of_the_folder(built_in):
    """They are found by name, and by the version that they have; there is no other version of them."""
    registry = Registry(built_in, Callers(), None)
    runnable = registry.pick("greet")
    assert (runnable.compiled, runnable.document) == (built_in["greet"], None)
    assert runnable.plan.graph == "greet"
    assert registry.pick(f"greet@{built_in['greet'].version}") is runnable
    assert [each.compiled.graph.name for each in registry.all()] == ["greet", "judge"]
    with pytest.raises(errors.NotFound) as caught:
        registry.pick("greet@0123456789ab")
    assert caught.value.reason == "GRAPH_VERSION_NOT_FOUND"
    assert caught.value.metadata["known"] == built_in["greet"].version


def test_an_unknown_graph(built_in):
    """The error lists those that exist."""
    with pytest.raises(errors.NotFound) as caught:
        Registry(built_in, Callers(), None).pick("nobody")
    assert caught.value.message == "no graph is called 'nobody'; there are: greet, judge"
    assert caught.value.metadata == {"graph": "nobody", "known": "greet, judge"}


def test_a_list_of_what_exists_fits_into_headers(built_in):
    """With many graphs some are named."""
    one = built_in["greet"]
    with pytest.raises(errors.NotFound) as caught:
        Registry({f"{'long' * 10}-{n:03}": one for n in range(256)}, Callers(), None).pick("nobody")
    assert len(caught.value.message) < 600
    assert caught.value.message.endswith("-009, and more")


async def test_what_is_kept_is_there_at_once(store, built_in):
    """A graph that was adopted before it was kept runs as soon as it is kept, without compiling it again."""
    registry = Registry(built_in, Callers(), store)
    new = compiled("new")
    registry.adopt(new)
    document = await keep(store, new)
    assert registry.pick("new").compiled is new
    assert registry.pick("new").document == document
    assert [each.compiled.graph.name for each in registry.all()] == ["greet", "judge", "new"]
    assert not registry.built_in("new")
    await store.delete(GRAPH, "new")
    with pytest.raises(errors.NotFound):
        registry.pick("new")


async def test_what_was_kept_before(url, built_in):
    """A router that starts has what is kept, in all its versions."""
    first, second = compiled("new"), compiled("new", summary="Judges better.")
    async with open_store(url) as store:
        for each in (first, second):
            await keep(store, each)
    async with open_store(url) as store:
        registry = Registry(built_in, Callers(), store)
        assert registry.pick("new").compiled.version == second.version
        assert registry.pick("new").compiled.graph == second.graph
        older = registry.pick(f"new@{first.version}")
        assert older.compiled.graph == first.graph
        assert registry.pick(f"new@{first.version}").compiled is older.compiled
        assert older.document == registry.pick("new").document
        with pytest.raises(errors.NotFound):
            registry.pick("new@0123456789ab")


async def test_an_update_leaves_the_version_before(store, built_in, monkeypatch):
    """Who has a graph goes on with it; it is still ready by its version, and the name gives the new one."""
    registry = Registry(built_in, Callers(), store)
    first, second = compiled("new"), compiled("new", summary="Judges better.")
    for each in (first, second):
        registry.adopt(each)
    await keep(store, first)
    running = registry.pick("new")
    await keep(store, second)
    monkeypatch.setattr(module, "compile_graph", None)
    assert running.compiled is first
    assert registry.pick("new").compiled is second
    assert registry.pick(f"new@{first.version}").compiled is first
    await keep(store, first)
    assert registry.pick("new").compiled is first


async def test_a_version_is_compiled_once(url, built_in, monkeypatch):
    """Those who ask at the same time for a version that is not ready get the same one; so does who asks later."""
    first, second = compiled("new"), compiled("new", summary="Judges better.")
    async with open_store(url) as store:
        for each in (first, second):
            await keep(store, each)
        registry = Registry(built_in, Callers(), store)
        found = await asyncio.gather(*(registry.find(f"new@{first.version}") for _ in range(4)))
        monkeypatch.setattr(module, "compile_graph", None)
        found.append(registry.pick(f"new@{first.version}"))
        assert len({id(each.compiled) for each in found}) == 1
        assert found[0].compiled.graph == first.graph
        assert await registry.find("new") is registry.pick("new")
        assert await registry.find("greet") is registry.pick("greet")
        for name in ("nobody", "new@0123456789ab", "greet@0123456789ab"):
            with pytest.raises(errors.NotFound):
                await registry.find(name)


async def test_what_another_replica_changes(url, built_in):
    """It is taken up without a call, and calls get the graph as it was until then."""
    async with open_store(url) as one, open_store(url) as other:
        registry = Registry(built_in, Callers(), other)
        first, second = compiled("new"), compiled("new", summary="Judges better.")
        await keep(one, first)
        await until(lambda: "new" in [each.compiled.graph.name for each in registry.all()])
        await keep(one, second)
        await until(lambda: registry.pick("new").compiled.version == second.version)
        await one.delete(GRAPH, "new")
        await until(lambda: len(registry.all()) == len(built_in))


async def test_the_last_of_several_changes_counts(url, built_in):
    """A graph that changes again while it is being compiled is never put back to what it was."""
    async with open_store(url) as one, open_store(url) as other:
        registry = Registry(built_in, Callers(), other)
        versions = [compiled("new", summary=f"Judges {n}.") for n in range(4)]
        await keep(one, versions[0])
        await other.catch_up()
        for each in versions[1:]:
            await keep(one, each)
            await other.catch_up()
        await keep(one, compiled("gone"))
        await other.catch_up()
        await one.delete(GRAPH, "gone")
        await other.catch_up()
        await until(lambda: registry.pick("new").compiled.version == versions[-1].version)
        await until(registry._work.done)
        assert registry.pick("new").compiled.version == versions[-1].version
        assert len(registry.all()) == len(built_in) + 1


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"name": "new", "novelty": 1}', body(compiled("new")).replace("Analyze", "Nope")]
)
async def test_a_graph_that_does_not_fit_takes_nothing_along(url, built_in, content):
    """Kept by another version of the router: calls of it tell why, all others go on, and an update heals it."""
    async with open_store(url) as store:
        await store.create(GRAPH, "new", content, "0123456789ab")
    async with open_store(url) as store:
        registry = Registry(built_in, Callers(), store)
        for name in ("new", "new@0123456789ab"):
            with pytest.raises(errors.FailedPrecondition) as caught:
                registry.pick(name)
            assert caught.value.reason == "GRAPH_BROKEN"
        assert isinstance(registry.entry("new"), Broken)
        assert [each.compiled.graph.name for each in registry.all()] == ["greet", "judge"]
        assert len(registry.entries()) == 3
        healed = compiled("new")
        registry.adopt(healed)
        await keep(store, healed)
        assert registry.pick("new").compiled is healed
        with pytest.raises(errors.FailedPrecondition):
            registry.pick("new@0123456789ab")


async def test_a_compiler_that_fails_takes_nothing_along(url, built_in, monkeypatch):
    """A graph on which the compiler itself breaks is one that cannot run; what changes after it is taken up."""

    def compile_or_break(graph):
        if graph.name == "breaks":
            raise RuntimeError
        return compile_graph(graph)

    monkeypatch.setattr(module, "compile_graph", compile_or_break)
    async with open_store(url) as one, open_store(url) as other:
        registry = Registry(built_in, Callers(), other)
        for name in ("breaks", "works"):
            await keep(one, compiled(name))
        await until(lambda: len(registry.entries()) == 4)
        assert isinstance(registry.entry("breaks"), Broken)
        assert isinstance(registry.entry("works"), Runnable)


async def test_a_kept_graph_goes_before_one_that_came_later(url, built_in):
    """A new release that brings a graph of a name that is kept does not change what callers get."""
    async with open_store(url) as store:
        mine = compiled("greet", summary="Mine.")
        await keep(store, mine)
        registry = Registry(built_in, Callers(), store)
        assert registry.pick("greet").compiled.graph == mine.graph
        assert not registry.built_in("greet")
        await store.delete(GRAPH, "greet")
        assert registry.pick("greet").compiled is built_in["greet"]
        assert registry.built_in("greet")


async def test_a_store_that_was_never_read(built_in):
    """Graphs of the folder run; others are UNAVAILABLE, since nobody knows whether they are kept."""
    async with open_store("postgresql://maas@127.0.0.1:1/router") as store:
        registry = Registry(built_in, Callers(), store)
        assert registry.pick("greet").compiled is built_in["greet"]
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                registry.pick("new")


async def test_policies_are_no_graphs(store, built_in):
    """What else is kept does not concern the registry."""
    registry = Registry(built_in, Callers(), store)
    await store.create(TRAFFIC, "graphs/greet", "{}")
    assert len(registry.entries()) == len(built_in)
