"""The cache of answers."""

import asyncio

import pytest

from services.mesh import errors
from services.mesh.cache import AnswerCache

ASKING = ("model", "1", "output")


class Upper:
    """Answers in capitals; keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.go = asyncio.Event()
        self.go.set()
        self.error = None

    async def __call__(self, texts):
        self.asked.append(texts)
        await self.go.wait()
        if self.error:
            raise self.error
        return [text.upper() for text in texts]


def new_cache(max_bytes=100_000):
    return AnswerCache("test", max_bytes, len)


async def test_the_same_question_is_answered_once():
    """Another text, and the same text asked of something else, are other questions."""
    cache, upper = new_cache(), Upper()
    assert await cache.answers(ASKING, ["a", "b", "a"], upper) == ["A", "B", "A"]
    assert await cache.answers(ASKING, ["b", "c"], upper) == ["B", "C"]
    assert await cache.answers(("model", "2", "output"), ["a"], upper) == ["A"]
    assert upper.asked == [["a", "b"], ["c"], ["a"]]


async def test_what_was_used_longest_ago_gives_way():
    """The bound counts bytes: two answers of 40,000 fit, and a third pushes out the older one."""
    cache, upper = new_cache(), Upper()
    long = [character * 40_000 for character in "abc"]
    for text in (long[0], long[1], long[0], long[2], long[0], long[1]):
        await cache.answers(ASKING, [text], upper)
    assert [texts[0][0] for texts in upper.asked] == ["a", "b", "c", "b"]


async def test_what_is_larger_than_the_whole_is_not_kept():
    """Nor does it push out anything."""
    cache, upper = new_cache(), Upper()
    for text in ("a", "b" * 100_000, "a"):
        await cache.answers(ASKING, [text], upper)
    assert len(upper.asked) == 2


async def test_equal_questions_at_the_same_time_share_the_answer():
    """The second caller waits for the first one's, and asks for what only it wants; also when nothing is kept."""
    cache, upper = new_cache(0), Upper()
    upper.go.clear()
    first = asyncio.create_task(cache.answers(ASKING, ["a", "b"], upper))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.answers(ASKING, ["b", "c"], upper))
    await asyncio.sleep(0)
    upper.go.set()
    assert [await first, await second] == [["A", "B"], ["B", "C"]]
    assert upper.asked == [["a", "b"], ["c"]]


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_caller_who_gives_up_leaves_nobody_without_an_answer(how):
    """Whoever shared the question asks it again for itself; nothing of the failure is kept."""
    cache, lost, upper = new_cache(), Upper(), Upper()
    lost.go.clear()
    first = asyncio.create_task(cache.answers(ASKING, ["a"], lost))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.answers(ASKING, ["a"], upper))
    await asyncio.sleep(0)
    if how == "cancelled":
        first.cancel()
    else:
        lost.error = errors.DeadlineExceeded("late")
        lost.go.set()
    with pytest.raises((asyncio.CancelledError, errors.DeadlineExceeded)):
        await first
    assert await second == ["A"]
    assert upper.asked == [["a"]]


async def test_one_of_several_waiting_callers_may_give_up():
    """The one who computes, and the others who wait, are not disturbed."""
    cache, upper = new_cache(), Upper()
    upper.go.clear()
    tasks = [asyncio.create_task(cache.answers(ASKING, ["a"], upper)) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    upper.go.set()
    assert [await tasks[0], await tasks[2]] == [["A"], ["A"]]
    assert tasks[1].cancelled()
    assert len(upper.asked) == 1


async def test_no_text_is_held():
    """Keys are hashes under a secret of the process."""
    cache, upper = new_cache(), Upper()
    await cache.answers(ASKING, ["private words"], upper)
    other = new_cache()
    await other.answers(ASKING, ["private words"], upper)
    (key,), (other_key,) = list(cache._kept), list(other._kept)
    assert len(key) == 16
    assert key != other_key
    assert b"private" not in key


async def test_lookups_are_counted(measured):
    """Under maas.cache.lookups, by cache and outcome."""
    cache, upper = new_cache(), Upper()
    await cache.answers(ASKING, ["a", "b", "a"], upper)
    await cache.answers(ASKING, ["a"], upper)
    outcomes = ("miss", "shared", "hit")
    counted = [measured.added("maas_cache_lookups_total", cache="test", outcome=outcome) for outcome in outcomes]
    assert counted == [2, 1, 1]
