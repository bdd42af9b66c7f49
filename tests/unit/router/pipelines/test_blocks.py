"""What each block does: order, quorum, choices, lists, several answers, the next way, masks."""

import asyncio

import pytest

from services.mesh import errors
from services.router.pipelines.engine.combine import Answer, combine
from services.router.pipelines.engine.marks import restore
from services.router.pipelines.plan import FallbackStep, Member
from tests.unit.router.pipelines.plans import (
    call,
    ensemble,
    execution,
    fails,
    fallback,
    mapping,
    member,
    parallel,
    privacy,
    run,
    sequence,
    switch,
    value,
    way,
)
from tests.virtual_time import in_virtual_time


def after(seconds, answer="late"):
    """A call's function that takes a while."""

    async def do(scope):
        await asyncio.sleep(seconds)
        return answer

    return do


async def test_sequence_keeps_its_order():
    """A node sees the inputs and the values of those before it, and begins when they have ended."""
    last = call("b")
    spanned = execution(sequence(call("a"), last), outputs=["a", "b"])
    assert await spanned.execute({"word": "hello"}) == {"a": "A", "b": "B"}
    assert last.caller.scopes == [{"inputs.word": "hello", "a": "A"}]
    assert spanned.spans.seen == ["a begins", "a ends", "b begins", "b ends"]


async def test_parallel_nodes_all_begin_before_any_ends():
    """Each waits until all others have begun, so that they can only end together."""
    barrier = asyncio.Barrier(3)

    async def meet(scope):
        await barrier.wait()

    spanned = execution(parallel(call("a", meet), call("b", meet), sequence(call("c", meet))))
    await spanned.execute({})
    assert spanned.spans.seen[:3] == ["a begins", "b begins", "c begins"]
    assert list(spanned.run.nodes) == ["a", "b", "c"]


@in_virtual_time
async def test_quorum_cancels_those_that_are_not_needed():
    """As soon as enough have succeeded, the others are cancelled and have ended; they have failed, as is recorded."""
    slow, never = call("slow", after(5)), sequence(call("before"), call("during", after(5)), call("never"))
    step = parallel(call("quick", after(1)), fails("broken"), slow, never, call("other", after(2)), quorum=2)
    names = ["quick", "other", "slow", "broken", "before", "during", "never"]
    ran = execution(step, outputs=names + [f"failed.{name}" for name in names])
    began = asyncio.get_running_loop().time()
    values = await ran.execute({})
    assert asyncio.get_running_loop().time() - began == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [values[name] for name in names] == ["late", "late", "", "", "BEFORE", "", ""]
    assert [values[f"failed.{name}"] for name in names] == [False, False, True, True, False, True, True]
    told = {name: type(record.error) for name, record in ran.run.nodes.items() if record.error}
    assert told == {"slow": errors.Cancelled, "broken": errors.Unavailable} | dict.fromkeys(
        ["during", "never"], errors.Cancelled
    )
    assert ran.run.nodes["never"].runs == 0


@in_virtual_time
async def test_a_quorum_out_of_reach_fails_at_once():
    """When too many have failed, the first failure is the block's, and nobody waits for the others."""
    step = parallel(fails("a"), call("slow", after(5)), call("b", refuse_after(1)), quorum=2)
    began = asyncio.get_running_loop().time()
    with pytest.raises(errors.Unavailable, match=r"^a: "):
        await run(step)
    assert asyncio.get_running_loop().time() - began == 1


def refuse_after(seconds, error=errors.NotFound):
    async def do(scope):
        await asyncio.sleep(seconds)
        raise error("late")

    return do


async def test_a_bug_is_not_outvoted():
    """What is no error of the domain ends even a parallel whose quorum would be reached, as it is."""

    async def broken(scope):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(parallel(call("a", broken), call("b", after(60)), quorum=1))


async def test_switch_takes_the_first_that_holds():
    """Ways behind it are not even looked at."""
    cases = (value("inputs.no"), way(call("a"))), (value("inputs.yes"), way(call("b"))), (None, None)
    assert await run(switch("x", *cases), "x", no=False, yes=True) == {"x": "B"}


async def test_switch_without_a_way():
    """Without a condition that holds it is `otherwise`, and without that an error that names the node."""
    case = value("inputs.no"), way(call("a"))
    assert await run(switch("x", case, otherwise=way(call("b"))), "x", no=False) == {"x": "B"}
    with pytest.raises(errors.InvalidArgument, match=r"^x: no condition") as caught:
        await run(switch("x", case), "x", no=False)
    assert (caught.value.reason, caught.value.metadata["node"]) == ("NO_CASE", "x")


async def test_nodes_inside_stay_inside():
    """Of a block with a value only that is seen by those after it."""
    after_it = call("after")
    await run(sequence(switch("x", (value("inputs.yes"), way(call("inner")))), after_it), yes=True)
    assert after_it.caller.scopes == [{"inputs.yes": True, "x": "INNER"}]


@in_virtual_time
async def test_map_keeps_order_and_bound():
    """Items of any duration come back in their order, never more than allowed being under way."""
    under_way, most = 0, 0

    async def work(scope):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(scope["item"])
        under_way -= 1
        return scope["item"]

    assert await run(mapping("m", [3, 1, 2, 1], call("x", work), at_once=2), "m") == {"m": [3, 1, 2, 1]}
    assert most == 2


async def test_map_of_nothing():
    """An empty list gives an empty list."""
    assert await run(mapping("m", [], call("x"), at_once=3), "m") == {"m": []}


async def test_map_takes_no_more_than_allowed():
    """A longer list is refused before anything is done, with the node and the limit."""
    inner = call("x")
    with pytest.raises(errors.InvalidArgument, match=r"^m: its list has 3 items, and takes 2 at most$") as caught:
        await run(mapping("m", [1, 2, 3], inner, most=2))
    assert caught.value.metadata == {"graph": "g", "node": "m", "limit": "2"}
    assert inner.caller.scopes == []


@pytest.mark.parametrize("at_once", [1, 2])
async def test_the_first_item_that_fails_ends_a_map(at_once):
    """No further item begins after it."""
    seen = []

    async def work(scope):
        seen.append(scope["item"])
        await asyncio.sleep(0)
        if scope["item"] == 1:
            raise errors.Unavailable("it failed")

    with pytest.raises(errors.Unavailable, match=r"^x: "):
        await run(mapping("m", list(range(9)), call("x", work), at_once=at_once))
    assert seen[-1] <= 2


async def test_ensemble_counts_those_that_succeed():
    """As long as they are at least half by weight; otherwise it fails as the first of them."""
    assert await run(ensemble("e", member(call("a")), member(fails("b"))), "e") == {"e": "A"}
    thirds = ensemble("e", member(call("a"), 0.3), member(fails("b"), 0.1), member(fails("c"), 0.2))
    assert await run(thirds, "e") == {"e": "A"}
    with pytest.raises(errors.Unavailable, match=r"^b: "):
        await run(ensemble("e", member(call("a")), member(fails("b"), 1.1)), "e")


async def test_ensemble_takes_the_best():
    """A score sees the value of its member, and only that."""
    members = [member(call("a"), score=lambda s: len(s["a"])), member(call("bb"), score=lambda s: len(s["bb"]))]
    assert await run(ensemble("e", *members, combine="best"), "e") == {"e": "BB"}


async def test_ensemble_of_values_without_calls():
    """A member may be an expression alone."""
    plain = Member(way=way(None, value("inputs.x")), weight=1.0, score=None)
    assert await run(ensemble("e", plain, combine="mean"), "e", x=3.0) == {"e": 3.0}


@pytest.mark.parametrize(
    ("how", "answers", "expected"),
    [
        ("vote", [("x", 1), ("y", 2), ("x", 1.5)], "x"),
        ("vote", [("x", 1), ("y", 1)], "x"),
        ("vote", [(["x"], 1), (["y"], 1), (["y"], 1)], ["y"]),
        ("mean", [(1.0, 1), (4.0, 2)], 3.0),
        ("mean", [([1.0, 0.0], 1), ([4.0, 3.0], 2)], [3.0, 2.0]),
    ],
)
def test_combine(how, answers, expected):
    """Votes and means are by weight, of texts, numbers and lists; of equals the first."""
    assert combine(how, [Answer(value, weight) for value, weight in answers]) == expected


def test_combine_the_best():
    """The highest score counts, below zero as well; of equal ones the weight."""
    assert combine("best", [Answer("x", 9, -2.0), Answer("y", 1, -1.0)]) == "y"
    assert combine("best", [Answer("x", 1, 0.5), Answer("y", 2, 0.5)]) == "y"


def test_means_are_of_equal_lengths():
    """Lists of different lengths have no mean."""
    with pytest.raises(errors.Internal, match="different lengths"):
        combine("mean", [Answer([1.0], 1), Answer([1.0, 2.0], 1)])


async def test_fallback_takes_the_first_that_succeeds():
    """A way is tried after the codes that are listed, in order; what failed stays in the record."""
    unused = call("c")
    ran = execution(fallback("f", fails("a"), call("b"), unused), outputs=["f"])
    assert await ran.execute({}) == {"f": "B"}
    assert unused.caller.scopes == []
    assert isinstance(ran.run.nodes["a"].error, errors.Unavailable)
    assert ran.run.nodes["f"].error is None


async def test_fallback_begins_anew():
    """A way does not see what the one before it left behind."""
    second = call("c")
    ways = way(sequence(call("a"), fails("b")), value("a")), way(second)
    await run(FallbackStep(node="f", empty=str, ways=ways, codes=frozenset(["UNAVAILABLE"])))
    assert second.caller.scopes == [{}]


async def test_fallback_ends_with_other_codes_and_with_the_last():
    """A code that is not listed ends it at once; the failure of the last way is its own."""
    unused = call("b")
    with pytest.raises(errors.NotFound, match=r"^a: "):
        await run(fallback("f", fails("a", errors.NotFound), unused))
    assert unused.caller.scopes == []
    with pytest.raises(errors.Unavailable, match=r"^b: "):
        await run(fallback("f", fails("a"), fails("b")))


async def test_privacy_hides_and_restores():
    """What runs inside sees marks; the value has what they stand for."""
    inner = call("x", lambda scope: after(0, f"Dear {scope['masked']}")(scope))
    assert await run(privacy("p", inner), "p", text="Ada") == {"p": "Dear Ada"}
    assert inner.caller.scopes[0]["masked"] == "[PERSON_1]"
    assert await run(privacy("p", inner, keep_marks=True), "p", text="Ada") == {"p": "Dear [PERSON_1]"}


@pytest.mark.parametrize(
    ("written", "restored"),
    [
        ("[PERSON_1] and [PHONE_NUMBER_2]", "Ada and 555"),
        ("[person_1], [Person 1], [ PERSON_1 ], [phone number 2]", "Ada, Ada, Ada, 555"),
        (r"[PERSON\_1], [PHONE\_NUMBER\_2]", "Ada, 555"),
        ("[PERSON_3], [1], [PERSON], PERSON_1", "[PERSON_3], [1], [PERSON], PERSON_1"),
    ],
)
def test_marks_as_models_write_them(written, restored):
    """Case, blanks and escapes of a mark do not matter; what is no mark of this text stays."""
    assert restore(written, {"[PERSON_1]": "Ada", "[PHONE_NUMBER_2]": "555"}) == restored


def test_restored_text_is_not_restored_again():
    """What a mark stands for may look like a mark."""
    assert restore("[PERSON_1]", {"[PERSON_1]": "[PERSON_2]", "[PERSON_2]": "Ada"}) == "[PERSON_2]"
