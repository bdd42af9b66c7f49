"""What each kind of stage does with the items of its source."""

import asyncio

import pytest

from services.mesh import errors
from tests.unit.router.pipelines.streaming.fakes import (
    SOUND,
    Service,
    call,
    calls,
    collect,
    output,
    run,
    source,
    unary,
    value,
)

NUMBERS = range(12)


async def double(scope):
    return scope[SOUND] * 2


def numbers():
    return source(*NUMBERS)


def even(scope):
    return scope[SOUND] % 2 == 0


async def test_a_unary_stage_runs_once_for_each_item():
    """Its values come in the order of the items, beside what the item was made of."""
    pairs = output("pairs", "twice", gives=lambda scope: (scope[SOUND], scope["twice"], scope["inputs.word"]))
    done = await run(unary("twice", double), outputs=[pairs], scope={"inputs.word": "w"}, sound=numbers())
    assert done.of("pairs") == [(each, each * 2, "w") for each in NUMBERS]
    assert done.scope == {"inputs.word": "w"}


@pytest.mark.parametrize("at_once", [2, 3, 32])
async def test_several_items_at_the_same_time_keep_their_order(at_once):
    """So many run at the same time, and no more; the last to end may have been the first to begin."""
    running, most = 0, 0

    async def slow(scope):
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3 * (40 - scope[SOUND])):
            await asyncio.sleep(0)
        running -= 1
        return scope[SOUND]

    done = await run(unary("slow", slow, at_once=at_once), outputs=[output("out", "slow")], sound=source(*range(40)))
    assert done.of("out") == list(range(40))
    assert most == at_once


@pytest.mark.parametrize("at_once", [1, 3])
async def test_items_without_the_condition_are_passed_over(at_once):
    """The node does not run for them, and nothing goes on."""
    service = Service()
    done = await run(
        unary("twice", double, when=even, at_once=at_once),
        calls("each", service, when=even, at_once=at_once),
        call("whole", whole := Service(), when=even),
        collect("list", SOUND, when=even),
        outputs=[output("out", "twice"), output("same", SOUND, when=even)],
        sound=numbers(),
    )
    evens = [each for each in NUMBERS if each % 2 == 0]
    assert done.of("out") == [each * 2 for each in evens]
    assert done.began.count("twice") == len(evens)
    assert service.received == whole.received == done.scope["list"] == done.of("same") == evens


async def test_one_call_takes_all_items():
    """It begins with the first request, sends each request whose condition holds, and ends when its source does."""
    service = Service(answers=lambda request: [f"heard {request}"], at_end=["end"])
    sends = [(None, value(SOUND)), (even, lambda scope: "flush")]
    stage = call("hear", service, first=lambda scope: scope["inputs.language"], sends=sends)
    outputs = [output("heard", "hear"), output("scopes", "hear", gives=sorted)]
    done = await run(stage, outputs=outputs, scope={"inputs.language": "en"}, sound=source(1, 2, 3))
    assert service.received == ["en", 1, 2, "flush", 3]
    assert done.of("heard") == [*(f"heard {each}" for each in service.received), "end"]
    assert (service.opened, service.closed) == (1, 1)
    # What an answer was made of is not known: there may be any number of them.
    assert done.of("scopes") == [["hear", "inputs.language"]] * 6


async def test_a_call_of_no_items():
    """An input that ends at once ends everything; what a service has to say then still comes."""
    service = Service(at_end=["end"])
    done = await run(call("hear", service), collect("all", "hear"), sound=source())
    assert done.scope == {"all": ["end"]}


@pytest.mark.parametrize("at_once", [1, 4])
async def test_a_call_for_each_item(at_once):
    """Their answers come one call after the other, each beside what its item was made of."""
    service = Service(answers=lambda request: [f"{request}.{part}" for part in range(request % 7)])
    pairs = output("pairs", "say", gives=lambda scope: (scope[SOUND], scope["say"]))
    done = await run(calls("say", service, at_once=at_once), outputs=[pairs], sound=numbers())
    assert done.of("pairs") == [(each, f"{each}.{part}") for each in NUMBERS for part in range(each % 7)]
    assert service.opened == service.closed == len(NUMBERS)


async def test_each_taker_gets_each_item():
    """Stages, lists and outputs of one source get every item once and in order, and do not see each other's values."""

    async def names(scope):
        return sorted(scope)

    done = await run(
        unary("twice", double),
        unary("a", names, source="twice"),
        unary("b", names, source="twice"),
        collect("list", "twice"),
        call("whole", service := Service(), source="twice"),
        outputs=[
            output("one", "twice"),
            output("two", "twice"),
            output("a", "a"),
            output("b", "b"),
            output("in", SOUND),
        ],
        sound=numbers(),
    )
    twice = [each * 2 for each in NUMBERS]
    assert done.of("one") == done.of("two") == done.scope["list"] == service.received == twice
    assert done.of("in") == list(NUMBERS)
    assert done.of("a") == done.of("b") == [[SOUND, "twice"]] * len(NUMBERS)


async def test_several_inputs():
    """Trees of stages that begin with different inputs run beside each other."""
    done = await run(
        unary("twice", double),
        collect("words", "inputs.text"),
        outputs=[output("out", "twice")],
        sound=numbers(),
        text=source("a", "b"),
    )
    assert done.scope == {"words": ["a", "b"]}
    assert len(done.of("out")) == len(NUMBERS)


async def test_outputs_of_other_blocks_are_left_to_them():
    """Only what takes a node or an input of this block is given."""
    done = await run(unary("twice", double), outputs=[output("other", "elsewhere")], sound=numbers())
    assert done.emitted == []


async def test_items_go_through_while_more_come():
    """What an item gives is there before the next one has come."""
    gave = asyncio.Event()

    async def patient():
        for item in range(3):
            yield item
            await gave.wait()
            gave.clear()

    async def tell(scope):
        gave.set()
        return scope["hear"]

    done = await run(
        call("hear", Service()), unary("tell", tell, source="hear"), outputs=[output("out", "tell")], sound=patient()
    )
    assert done.of("out") == [0, 1, 2]


@pytest.mark.parametrize(("most", "fails"), [(12, False), (11, True)])
async def test_a_list_is_bounded(most, fails):
    """More items than it may keep are RESOURCE_EXHAUSTED, which names node and limit."""
    if not fails:
        assert len((await run(collect("list", SOUND, most=most), sound=numbers())).scope["list"]) == most
        return
    with pytest.raises(errors.Exhausted, match="11 items") as caught:
        await run(collect("list", SOUND, most=most), sound=numbers())
    assert caught.value.metadata == {"limit": "11", "graph": "g", "node": "list"}


async def test_a_list_is_bounded_in_bytes():
    """So are few items that are too large."""
    mebibyte = bytes(1024 * 1024)
    with pytest.raises(errors.Exhausted, match="67108864 bytes"):
        await run(collect("list", SOUND), sound=source(*[mebibyte] * 65))


async def test_a_service_that_ends_early():
    """Its stage ends, while others go on to take what it no longer takes, and the source is read to its end."""
    ended = Service(ends_after=2)
    left = numbers()
    done = await run(
        call("hear", ended),
        collect("heard", "hear"),
        call("never", Service(ends_after=0)),
        outputs=[output("all", SOUND)],
        sound=left,
    )
    assert done.scope == {"heard": [0, 1]}
    assert done.of("all") == list(NUMBERS)
    assert ended.closed == 1
    assert await anext(left, None) is None


async def test_a_service_that_ends_early_alone():
    """A source that nobody takes any more is read to its end all the same."""
    left = numbers()
    done = await run(call("hear", Service(ends_after=1)), collect("heard", "hear"), sound=left)
    assert done.scope == {"heard": [0]}
    assert await anext(left, None) is None
