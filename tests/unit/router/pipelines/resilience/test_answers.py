"""Answers that are kept, on a virtual clock."""

import asyncio

import pytest

from services.mesh import errors
from services.router.pipelines.resilience.answers import Answers
from tests.virtual_time import in_virtual_time

TTL = 60.0


class Service:
    """Answers with the number of the call."""

    def __init__(self):
        self.calls = 0
        self.error = None

    async def __call__(self):
        self.calls += 1
        number = self.calls
        await asyncio.sleep(1)
        if self.error:
            error, self.error = self.error, None
            raise error
        return number


def get(answers, service, request=b"question", method="a/B", size=100):
    return answers.get(method, request, TTL, service, lambda _: size)


@in_virtual_time
async def test_equal_requests_get_the_same_answer_for_a_time():
    """Until its time is over; then it is asked again."""
    answers, service = Answers(10_000), Service()
    assert await get(answers, service) == (1, False)
    await asyncio.sleep(TTL - 1)
    assert await get(answers, service) == (1, True)
    await asyncio.sleep(2)
    assert await get(answers, service) == (2, False)


@in_virtual_time
async def test_other_requests_and_methods_get_others():
    """The method is a part of the question."""
    answers, service = Answers(10_000), Service()
    found = [await get(answers, service), await get(answers, service, b"x"), await get(answers, service, method="a/C")]
    assert found == [(1, False), (2, False), (3, False)]


@in_virtual_time
async def test_equal_requests_at_once_are_asked_once():
    """The others wait for the first."""
    answers, service = Answers(10_000), Service()
    found = await asyncio.gather(*(get(answers, service) for _ in range(3)))
    assert sorted(found) == [(1, False), (1, True), (1, True)]
    assert service.calls == 1


@in_virtual_time
async def test_a_failure_is_not_shared():
    """Who waited for one that failed asks by itself."""
    answers, service = Answers(10_000), Service()
    service.error = errors.Unavailable("gone")
    found = await asyncio.gather(*(get(answers, service) for _ in range(3)), return_exceptions=True)
    assert isinstance(found[0], errors.Unavailable)
    assert sorted(found[1:]) == [(2, False), (2, True)]


@in_virtual_time
async def test_a_leader_that_is_cancelled_harms_nobody():
    """Its followers ask by themselves."""
    answers, service = Answers(10_000), Service()
    leader, follower = (asyncio.create_task(get(answers, service)) for _ in range(2))
    await asyncio.sleep(0.5)
    leader.cancel()
    assert await follower == (2, False)
    with pytest.raises(asyncio.CancelledError):
        await leader


@in_virtual_time
async def test_memory_is_bounded():
    """What is too large is not kept, and of the rest the oldest goes."""
    answers, service = Answers(2000), Service()
    await get(answers, service, b"large", size=5000)
    assert (await get(answers, service, b"large", size=5000))[1] is False
    for request in (b"1", b"2", b"3", b"4"):
        await get(answers, service, request, size=100)
    assert [(await get(answers, service, request))[1] for request in (b"4", b"3", b"1")] == [True, True, False]


async def test_a_large_request_is_a_question_like_any_other():
    """Its hash, which a thread makes, depends on all of it and on the method."""
    answers, requests = Answers(10_000), [bytes(1_000_000), bytes(999_999) + b"1"]

    async def answer(number):
        return number

    async def ask(number, request, method="a/B"):
        return await answers.get(method, request, TTL, lambda: answer(number), lambda _: 100)

    assert [await ask(number, request) for number, request in enumerate(requests * 2)] == [
        (0, False), (1, False), (0, True), (1, True),
    ]  # fmt: skip
    assert await ask(9, requests[0], "a/C") == (9, False)
