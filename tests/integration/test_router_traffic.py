"""Traffic policies over real sockets: versions of a graph, split, mirrored, and taking over step by step."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest

from maas.router.v1 import router_pb2_grpc, traffic_pb2
from tests.integration.router_mesh import Mesh
from tests.integration.traffic import (
    Judges,
    canary,
    delete,
    run,
    seen,
    set_policy,
    until,
    until_judged,
    update,
    versions,
)


@pytest.fixture
async def mesh():
    return Mesh(Judges())


@pytest.fixture
async def stubs(mesh, tmp_path):
    """Two replicas on one store."""
    store = f"sqlite:///{tmp_path}/state.sqlite"
    async with mesh.routers(2, graphs_directory=tmp_path, store_url=store) as channels, asyncio.timeout(60):
        yield [router_pb2_grpc.RouterServiceStub(channel) for channel in channels]


@pytest.fixture
def stub(stubs):
    return stubs[0]


async def test_keys_keep_their_version(stub):
    """Calls are split, and all calls of a key get the same; a call that names a version gets that."""
    older, current = await versions(stub)
    await set_policy(stub, {older: 1, current: 1})
    keys = [f"user-{number}" for number in range(40)]
    first = {key: (await run(stub, key)).version for key in keys}
    assert set(first.values()) == {older, current}
    assert {key: (await run(stub, key)).version for key in keys} == first
    assert (await run(stub, keys[0], f"greet@{older}")).version == older
    counted = [await seen(stub, version) for version in (older, current)]
    assert [each.calls for each in counted] == [2 * Counter(first.values())[version] for version in (older, current)]
    assert all(each.p95.ToMicroseconds() >= each.p50.ToMicroseconds() > 0 for each in counted)


async def test_no_call_is_lost_while_policies_change(stub):
    """Under calls all the time policies are set, changed and deleted, and the graph updated: each call is answered."""
    older, current = await versions(stub)
    done, answered = asyncio.Event(), Counter()

    async def caller(number):
        while not done.is_set():
            answered[(await run(stub, f"user-{number}")).version] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(caller(number))
        for _ in range(3):
            for shares in ({older: 1}, {current: 1}, {older: 1, current: 3}):
                await set_policy(stub, shares)
                await run(stub)
            await update(stub, "judge", summary="Judges anew.")
            await run(stub)
            await delete(stub)
            assert await update(stub, "judge") == current
            assert (await run(stub)).version == current
        done.set()
    assert answered[older] > 0
    assert answered[current] > 0


async def test_a_policy_is_followed_at_once(stub):
    """The first call after SetTrafficPolicy goes where it says, and after its deletion to the current version."""
    older, current = await versions(stub)
    for variant in (older, current, older):
        await set_policy(stub, {variant: 1})
        assert {(await run(stub)).version for _ in range(5)} == {variant}
    await delete(stub)
    assert (await run(stub)).version == current


async def test_a_bad_canary_is_rolled_back(stub):
    """Its calls fail, so it ends; from then on all calls are answered."""
    good, broken = await versions(stub, "broken")
    await set_policy(stub, {good: 1}, canary=canary(broken, steps=[0.5, 1]))
    outcomes, policy = await until_judged(stub)
    assert policy.canary_status.state == traffic_pb2.CANARY_STATE_ROLLED_BACK
    assert "calls failed" in policy.canary_status.reason
    assert outcomes[grpc.StatusCode.INTERNAL] >= 5
    failed = await seen(stub, broken)
    assert failed.errors == failed.calls >= 5
    assert {(await run(stub, f"user-{number}")).version for number in range(20)} == {good}


async def test_a_good_canary_takes_over(stub):
    """Through all of its steps, while no call fails; then all calls are its."""
    older, current = await versions(stub)
    policy = await set_policy(stub, {current: 1}, canary=canary(older, steps=[0.25, 0.5, 1]))
    assert (policy.canary_status.state, policy.canary_status.step) == (traffic_pb2.CANARY_STATE_RUNNING, 0)
    outcomes, policy = await until_judged(stub)
    assert (policy.canary_status.state, policy.canary_status.step) == (traffic_pb2.CANARY_STATE_PROMOTED, 2)
    assert policy.canary_status.reason.endswith("calls went well at 100% of the traffic")
    assert policy.canary_status.change_time.seconds > 0
    assert set(outcomes) == {older, current}
    assert {(await run(stub, f"user-{number}")).version for number in range(20)} == {older}


@pytest.mark.parametrize(
    ("model", "state"),
    [("stern", traffic_pb2.CANARY_STATE_ROLLED_BACK), ("judge", traffic_pb2.CANARY_STATE_PROMOTED)],
)
async def test_a_canary_is_judged_by_its_answers(stub, model, state):
    """One whose score is lower than that of the others is rolled back although it answers."""
    good, other = await versions(stub, model)
    await set_policy(stub, {good: 1}, canary=canary(other, steps=[0.5], score="answer.score"))
    outcomes, policy = await until_judged(stub)
    assert (policy.canary_status.state, set(outcomes)) == (state, {good, other})
    scores = {each.variant: each.score for each in policy.statistics}
    assert scores == {good: 0.5, other: 0.125 if model == "stern" else 0.5}


@pytest.mark.parametrize(
    ("model", "agreement", "value"),
    [
        ("judge", "", 1.0),
        ("stern", "", 0.0),
        ("stern", "answer.score > shadow.score", 1.0),
        ("stern", "1.0 - (answer.score - shadow.score)", 0.625),
    ],
)
async def test_a_shadow_is_compared_and_never_returned(stub, model, agreement, value):
    """All calls get the other's answer; how well the shadow agrees is in its statistics."""
    good, shadow = await versions(stub, model)
    await set_policy(stub, {good: 1}, shadow={"variant": shadow, "share": 1, "agreement": agreement})
    for number in range(10):
        answer = await run(stub, f"user-{number}")
        assert (answer.version, answer.outputs["score"].number) == (good, 0.5)

    async def compared():
        return (await seen(stub, shadow)).calls > 0

    await until(compared)
    statistics = await seen(stub, shadow)
    assert (statistics.errors, statistics.agreement) == (0, value)


@pytest.mark.parametrize("model", ["broken", "stuck"])
async def test_a_shadow_that_fails_harms_nobody(mesh, stub, model):
    """All calls are answered; its failures are counted as its own, and one that hangs is given up."""
    good, shadow = await versions(stub, model)
    await set_policy(stub, {good: 1}, shadow={"variant": shadow, "share": 1})
    answers = await asyncio.gather(*(run(stub, f"user-{number}") for number in range(40)))
    assert {answer.version for answer in answers} == {good}

    async def failed():
        return (await seen(stub, shadow)).errors > 0

    await until(failed)
    assert (await seen(stub, good)).errors == 0
    statistics = await seen(stub, shadow)
    assert (statistics.errors, statistics.agreement) == (statistics.calls, 0)
    if model == "stuck":
        assert mesh.nlp.asked["stuck"] == 4

        async def left():
            return mesh.nlp.left == 4

        await until(left)
