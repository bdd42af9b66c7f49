"""What a failure, a cancellation or the end of the time does to a stream."""

import asyncio

import pytest

from services.mesh import errors
from tests import virtual_time
from tests.unit.router.pipelines.streaming.fakes import (
    SOUND,
    Service,
    call,
    calls,
    collect,
    never,
    output,
    run,
    source,
    unary,
    value,
)

NUMBERS = range(12)


def numbers():
    return source(*NUMBERS)


async def broken(scope):
    if scope[SOUND] == 3:
        raise errors.Unavailable("is gone")
    return scope[SOUND]


def no_value(scope):
    raise errors.InvalidArgument("there is no such item")


def others():
    """Tasks besides the one that runs the test."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def endless():
    """An input that is never silent."""
    item = 0
    while True:
        yield item
        item += 1
        await asyncio.sleep(0)


FAILING = {
    "unary": lambda **more: unary("bad", broken, **more),
    "unary at once": lambda **more: unary("bad", broken, at_once=4, **more),
    "condition": lambda **more: unary("bad", broken, when=no_value, **more),
    "call": lambda **more: call("bad", Service(fails_after=3), **more),
    "condition of a call": lambda **more: call("bad", Service(), when=no_value, **more),
    "first request": lambda **more: call("bad", Service(), first=no_value, **more),
    "request": lambda **more: call("bad", Service(), sends=[(None, no_value)], **more),
    "condition of a request": lambda **more: call("bad", Service(), sends=[(no_value, value(SOUND))], **more),
    "call for each": lambda **more: calls("bad", Service(fails_after=0), **more),
    "calls at once": lambda **more: calls("bad", Service(fails_after=0), at_once=4, **more),
    "list": lambda **more: collect("bad", SOUND, gives=no_value, **more),
    "condition of a list": lambda **more: collect("bad", SOUND, when=no_value, **more),
}


@pytest.mark.parametrize("failing", FAILING)
async def test_the_first_failure_ends_all(failing):
    """It is raised with graph and node; what runs beside it is cancelled, calls are closed, no task is left."""
    service, waiting, cancelled = Service(), Service(answers=lambda request: []), []

    async def stuck(scope):
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.append(scope[SOUND])
            raise

    items = endless()
    with pytest.raises(errors.MeshError) as caught:
        await run(
            FAILING[failing](),
            unary("stuck", stuck, when=lambda scope: scope[SOUND] > 0, at_once=2),
            call("waiting", waiting),
            unary("next", stuck, source="waiting"),
            calls("open", service),
            sound=items,
        )
    assert caught.value.metadata == {"graph": "g", "node": "bad"}
    assert service.opened == service.closed
    assert waiting.opened == waiting.closed
    assert not others()
    await items.aclose()  # Which it would refuse while somebody still waits for its next item.


@pytest.mark.parametrize("failing", ["unary", "unary at once", "condition", "call for each", "calls at once"])
async def test_a_node_for_each_item_that_may_fail(failing):
    """Its item goes on with an empty value and the mark that it failed, and so do those after it."""
    done = await run(
        FAILING[failing](optional=True),
        collect("marks", "bad", gives=lambda scope: (scope[SOUND], scope["bad"], scope["failed.bad"])),
        sound=numbers(),
    )
    # The one is refused its fourth item, the others each.
    fails = {3} if failing.startswith("unary") else set(NUMBERS)
    assert done.scope["marks"] == [(each, "empty", True) if each in fails else (each, each, False) for each in NUMBERS]
    assert done.scope["failed.bad"] is True
    assert {node for node, _ in done.errors} == {"bad"}


async def test_answers_before_the_failure_of_a_call_that_may_fail():
    """Of a call for an item what came is kept, and the mark comes after it."""
    service = Service(answers=lambda request: ["one", "two"])
    service.open = lambda *args: failing_after(Service.open(service, *args))

    async def failing_after(answers):
        async for answer in answers:
            yield answer
        raise errors.Unavailable("gone")

    done = await run(
        calls("say", service, optional=True),
        collect("all", "say", gives=lambda scope: (scope["say"], scope["failed.say"])),
        sound=source(1),
    )
    assert done.scope["all"] == [("one", False), ("two", False), ("empty", True)]


@pytest.mark.parametrize(
    "failing", ["call", "condition of a call", "first request", "request", "condition of a request"]
)
async def test_a_call_of_all_items_that_may_fail(failing):
    """Its items end, its source is read on by the others, and the mark is there after the stream."""
    left = numbers()
    done = await run(
        FAILING[failing](optional=True),
        collect("heard", "bad", gives=lambda scope: (scope["bad"], scope["failed.bad"])),
        outputs=[output("all", SOUND)],
        sound=left,
    )
    heard = [(each, False) for each in range(3)] if failing == "call" else []
    assert done.scope == {"heard": heard, "failed.bad": True}
    assert done.of("all") == list(NUMBERS)
    assert await anext(left, None) is None


@pytest.mark.parametrize(("most", "marked"), [(12, False), (11, True)])
async def test_a_list_that_may_fail(most, marked):
    """It is empty then, and the rest goes on."""
    done = await run(collect("list", SOUND, most=most, optional=True), outputs=[output("all", SOUND)], sound=numbers())
    assert done.scope == {"list": [] if marked else list(NUMBERS), "failed.list": marked}
    assert done.of("all") == list(NUMBERS)


async def test_nodes_that_may_fail_and_do_not():
    """Their marks say so, in the scope of each item and after the stream."""
    done = await run(
        unary("a", broken, optional=True),
        call("b", Service(), source="a", optional=True),
        collect("marks", "a", gives=lambda scope: scope["failed.a"]),
        collect("more", "b", gives=lambda scope: scope["failed.b"]),
        sound=source(1, 2),
    )
    assert done.scope == {"marks": [False] * 2, "more": [False] * 2, "failed.a": False, "failed.b": False}


async def test_an_input_that_fails():
    """Its error ends the run as it is, and calls are closed."""

    async def refused():
        yield 1
        raise errors.InvalidArgument.field("item.value", "takes less")

    service = Service()
    with pytest.raises(errors.InvalidArgument, match=r"item\.value") as caught:
        await run(call("hear", service), sound=refused())
    assert caught.value.metadata == {}
    assert service.opened == service.closed == 1
    assert not others()


@pytest.mark.parametrize("optional", [False, True])
async def test_an_output_that_fails(optional):
    """It ends the run, named, and is no failure of the node whose items it takes."""
    with pytest.raises(errors.InvalidArgument, match=r"outputs\.out") as caught:
        await run(
            call("hear", Service(), optional=optional), outputs=[output("out", "hear", gives=no_value)], sound=numbers()
        )
    assert caught.value.metadata == {"graph": "g"}


async def test_a_bug_is_not_a_failure():
    """What is no error of the mesh ends the run as it is, also at a node that may fail."""

    async def bug(scope):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(unary("bad", bug, optional=True), sound=numbers())


@pytest.mark.parametrize("at_once", [1, 4])
async def test_cancelling_reaches_everything(at_once):
    """Stages, calls and whoever waits for an input are gone when the cancelled run has ended."""
    service, cancelled, met = Service(answers=lambda request: []), [], asyncio.Event()

    async def stuck(scope):
        met.set()
        try:
            await never()
        finally:
            cancelled.append(scope[SOUND])

    async def silent():
        for each in NUMBERS:
            yield each
        await never()

    items = silent()
    running = asyncio.create_task(
        run(unary("stuck", stuck, at_once=at_once), calls("each", service), call("all", service), sound=items)
    )
    await met.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(cancelled) == list(range(at_once))
    assert service.opened == service.closed
    assert not others()
    await items.aclose()


def test_the_deadline_ends_a_stream():
    """Also one whose input is silent and whose nodes wait; without any time nothing begins."""
    service = Service()

    async def silent():
        yield 1
        await asyncio.sleep(1000)

    async def main(seconds):
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(errors.DeadlineExceeded):
            await run(call("hear", service), sound=silent(), seconds=seconds)
        assert not others()
        return loop.time() - began

    assert virtual_time.run(main(3)) == pytest.approx(3)
    assert service.opened == service.closed == 1
    assert virtual_time.run(main(0)) == 0
    assert service.opened == 1
