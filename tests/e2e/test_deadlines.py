"""Callers in a hurry: their deadlines and cancellations end their own calls, and harm nobody else's."""

from __future__ import annotations

import asyncio
import random
import statistics
import time

import grpc
import pytest

from deploy.local.triton.processes import model_processes
from maas.nlp.v1 import nlp_pb2, nlp_pb2_grpc
from tests.failure import details_of

CONTENTS = ["The acting is superb and the story stays with you for days."] * 4
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def triton_processes(mesh) -> set[int]:
    """Triton's model processes; a Triton that crashed has others afterwards."""
    guard = mesh.states()["triton"].pid
    servers = [int(pid) for pid in open(f"/proc/{guard}/task/{guard}/children").read().split()]  # noqa: SIM115, PTH123
    return {process.pid for server in servers for process in model_processes(server).values()}


async def hurried(stub, seconds: float, *, cancel: bool) -> grpc.StatusCode:
    """Call with hardly any time, or cancel after it; the code with which the call ended."""
    call = stub.AnalyzeSentiment(
        nlp_pb2.AnalyzeSentimentRequest(contents=CONTENTS), timeout=None if cancel else seconds
    )
    try:
        if cancel:
            await asyncio.wait({asyncio.ensure_future(call.code())}, timeout=seconds)
            call.cancel()
        await call
    except asyncio.CancelledError:
        return grpc.StatusCode.CANCELLED
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("cancel", [False, True], ids=["deadlines", "cancellations"])
async def test_callers_in_a_hurry_do_not_bring_triton_down(mesh, cancel):
    """64 callers at once with 2 to 30 ms each, again and again, which crash Triton 24.10 if it sees their deadlines."""
    before = triton_processes(mesh)
    assert before
    chance = random.Random(7)
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        stub = nlp_pb2_grpc.NlpServiceStub(channel)
        codes: set[grpc.StatusCode] = set()
        for _ in range(8):
            codes |= set(
                await asyncio.gather(*(hurried(stub, chance.uniform(0.002, 0.030), cancel=cancel) for _ in range(64)))
            )
        assert codes <= EXPECTED
        assert codes & {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
        # Whoever gives it time is answered, as soon as the abandoned calls have ended.
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        async with asyncio.timeout(30):
            while code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                patient = stub.AnalyzeSentiment(nlp_pb2.AnalyzeSentimentRequest(contents=CONTENTS), timeout=20)
                code = await patient.code()
        answer = await patient
    assert {result.sentiment for result in answer.results} == {nlp_pb2.SENTIMENT_POSITIVE}
    assert triton_processes(mesh) == before


def refusal(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """Reason and seconds to wait of a call for which there was no room, nothing of another."""
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return "", 0.0
    info, _, retry = details_of(error)
    return info.reason, retry.retry_delay.ToMilliseconds() / 1000


async def test_calls_that_would_be_late_are_refused_before_they_reach_triton(mesh):
    """64 callers with the time of eight: whom Triton's statistics give no chance is told so, and when to come back."""
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        stub = nlp_pb2_grpc.NlpServiceStub(channel)

        async def ask(name: str, seconds: float) -> tuple[str, float]:
            contents = [f"{text} {name} {number}" for number, text in enumerate(CONTENTS)]  # which no cache knows
            try:
                await stub.AnalyzeSentiment(nlp_pb2.AnalyzeSentimentRequest(contents=contents), timeout=seconds)
            except grpc.aio.AioRpcError as error:
                return refusal(error)
            return "", 0.0

        refused: list[tuple[str, float]] = []
        async with asyncio.timeout(60):
            while not refused:
                took = []
                for number in range(10):
                    began = time.monotonic()
                    await ask(f"{began} {number}", 20)
                    took.append(time.monotonic() - began)
                limit = 8 * statistics.median(took)
                ended = await asyncio.gather(*(ask(f"{limit} {number}", limit) for number in range(64)))
                refused = [end for end in ended if end[0] == "WAIT_TOO_LONG"]
        assert all(seconds > 0 for _, seconds in refused)
