"""Traffic policies at work, on a store in memory."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from maas.router.v1 import traffic_pb2 as pb
from services.mesh import errors
from services.mesh.priority import is_low_priority
from services.router.pipelines.documents import TRAFFIC, Document
from services.router.policies import Policies
from services.router.traffic_documents import to_body

TARGET = "graphs/greet"


class Memory:
    """A store of one replica."""

    def __init__(self):
        self.kept, self.listeners, self.changes = {}, [], 0

    def listen(self, listener):
        self.listeners.append(listener)

    async def put(self, kind, name, body, version="", etag=""):
        held = self.kept.get(name)
        if etag and held.etag != etag:
            raise errors.Aborted("another etag")
        self.changes += 1
        self.kept[name] = Document(kind, name, body, str(self.changes), 0, 0)
        for listener in self.listeners:
            listener(kind, name, self.kept[name])
        return self.kept[name]


@pytest.fixture
def store():
    return Memory()


@pytest.fixture
async def policies(store):
    async with Policies(store) as policies:
        yield policies


def setting(store, **parts):
    policy = pb.TrafficPolicy(target=TARGET, shares=[pb.TrafficShare(variant="old", weight=1)], **parts)
    return store.put(TRAFFIC, TARGET, to_body(policy, None))


def canary(**how):
    policy = pb.CanaryPolicy(variant="new", steps=[0.5, 1], min_calls=5, **how)
    policy.min_time.FromMilliseconds(100)
    return policy


async def settle(policies):
    while policies._background:
        await asyncio.gather(*policies._background)


def seen(policies):
    return {each.variant: each for each in policies.message(TARGET).statistics}


async def test_a_failing_shadow_is_neither_returned_nor_compared_with_a_canary(store, policies):
    """Its errors do not make those of the canary look usual."""
    await setting(store, shadow=pb.ShadowPolicy(variant="broken", share=1), canary=canary())

    tried = 0

    async def call(variant, _):
        nonlocal tried
        tried += variant == "new"
        if variant == "broken" or (variant == "new" and tried % 2):
            raise errors.Unavailable("gone")
        return variant

    for number in range(200):
        with contextlib.suppress(errors.Unavailable):
            assert await policies.through(TARGET, f"user-{number}", "old", call) in {"old", "new"}
        await settle(policies)
    assert seen(policies)["broken"].errors == seen(policies)["broken"].calls > 0
    assert policies.message(TARGET).canary_status.state == pb.CANARY_STATE_ROLLED_BACK
    assert seen(policies)["new"].calls < 10


async def test_mirrored_calls_are_bounded_and_end_with_the_router(store):
    """Of a hundred at once four run, and none is left at the end."""
    running, most = 0, 0

    async def call(variant, _):
        nonlocal running, most
        if variant == "shadow":
            running += 1
            most = max(most, running)
            try:
                await asyncio.Event().wait()
            finally:
                running -= 1
        return variant

    async with Policies(store) as policies:
        await setting(store, shadow=pb.ShadowPolicy(variant="shadow", share=1))
        assert set(await asyncio.gather(*(policies.through(TARGET, "", "old", call) for _ in range(100)))) == {"old"}
        await asyncio.sleep(0)
    assert (most, running) == (4, 0)


@pytest.mark.parametrize(("agreement", "value"), [("", 0.0), ("answer.n == shadow.n", 1.0), ("answer.none", 0.0)])
async def test_agreement_is_an_expression_or_equality(store, policies, agreement, value):
    """One without a value counts as none."""
    await setting(store, shadow=pb.ShadowPolicy(variant="shadow", share=1, agreement=agreement))

    async def call(variant, _):
        return {"n": 1, "variant": variant}

    await policies.through(TARGET, "", "old", call)
    await settle(policies)
    assert (seen(policies)["shadow"].calls, seen(policies)["shadow"].agreement) == (1, value)


async def test_a_callers_fault_is_no_error_of_a_variant(store, policies):
    """A wrong input does not count against it."""
    await setting(store, canary=canary())

    async def call(*_):
        raise errors.InvalidArgument.field("text", "is empty")

    for number in range(50):
        with pytest.raises(errors.InvalidArgument):
            await policies.through(TARGET, f"user-{number}", "old", call)
    assert policies.message(TARGET).canary_status.state == pb.CANARY_STATE_RUNNING
    assert not any(each.errors for each in seen(policies).values())
    assert sum(each.calls for each in seen(policies).values()) == 50


async def test_cancelled_calls_do_not_count_for_a_canary(store, policies):
    """They are counted as calls, but no step is done by them."""
    await setting(store, canary=canary())

    async def call(*_):
        raise asyncio.CancelledError

    for number in range(50):
        with pytest.raises(asyncio.CancelledError):
            await policies.through(TARGET, f"user-{number}", "old", call)
    assert policies.message(TARGET).canary_status.step == 0
    assert [(each.errors, each.calls > 5) for each in seen(policies).values()] == [(0, True), (0, True)]


async def test_what_breaks_is_an_error(store, policies):
    """An error that nobody thought of is the variant's."""
    await setting(store)

    async def call(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await policies.through(TARGET, "", "old", call)
    assert (seen(policies)["old"].calls, seen(policies)["old"].errors) == (1, 1)


async def test_a_mirrored_call_has_a_deadline_of_its_own(store, policies):
    """About a second when the answer took no time; the call itself keeps its caller's."""
    await setting(store, shadow=pb.ShadowPolicy(variant="shadow", share=1))
    limits = {}

    async def call(variant, limit):
        limits[variant] = limit

    await policies.through(TARGET, "", "old", call)
    await settle(policies)
    assert limits["old"] is None
    assert 0 < limits["shadow"].remaining_seconds() < 30


async def test_a_mirrored_call_is_of_low_priority(store, policies):
    """It waits for all others wherever it goes; the call itself does not."""
    await setting(store, shadow=pb.ShadowPolicy(variant="shadow", share=1))
    low = {}

    async def call(variant, _):
        low[variant] = is_low_priority()

    await policies.through(TARGET, "", "old", call)
    await settle(policies)
    assert low == {"old": False, "shadow": True}


async def test_a_model_without_idle_time_is_not_the_shadow_s_fault(store, policies):
    """A mirrored call that was never let in is no error of its variant."""
    await setting(store, shadow=pb.ShadowPolicy(variant="shadow", share=1))

    async def call(variant, _):
        if variant == "shadow":
            raise errors.Exhausted("busy", reason="NO_IDLE_TIME")

    await policies.through(TARGET, "", "old", call)
    await settle(policies)
    assert (seen(policies)["shadow"].calls, seen(policies)["shadow"].errors) == (1, 0)


async def test_a_call_goes_on_with_its_choice_when_the_policy_goes(store, policies):
    """It is answered by the variant that it began with."""
    await setting(store)
    begun, go = asyncio.Event(), asyncio.Event()

    async def call(variant, _):
        begun.set()
        await go.wait()
        return variant

    running = asyncio.create_task(policies.through(TARGET, "", "current", call))
    await begun.wait()
    policies._changed(TRAFFIC, TARGET, None)
    assert not policies.has(TARGET)
    go.set()
    assert await running == "old"
