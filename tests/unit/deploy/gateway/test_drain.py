"""Stopping loses no call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deploy.gateway import drain as drain_module
from deploy.gateway.drain import drain, pre_stop
from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc


async def test_calls_in_flight_are_waited_for(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draining ends when the last call has been answered, and not before."""
    asked: list[str] = []
    ask = drain_module._ask

    def listen(url: str, **more: str) -> str:
        asked.append(url)
        return ask(url, **more)

    monkeypatch.setattr(drain_module, "_ask", listen)
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    before = len(gateway.nlp.metadata)
    call = asyncio.ensure_future(_answer(stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["held"]))))
    async with asyncio.timeout(10):
        while len(gateway.nlp.metadata) == before:
            await asyncio.sleep(0.01)
    draining = asyncio.ensure_future(asyncio.to_thread(drain, gateway.admin, 20))
    async with asyncio.timeout(10):
        while len(asked) < 5:
            await asyncio.sleep(0.01)
    assert not draining.done()
    gateway.nlp.release.set()
    await asyncio.wait_for(draining, 10)
    assert (await asyncio.wait_for(call, 10)).model == "done"


async def test_draining_ends_in_time(gateway: Any) -> None:
    """A call that never ends does not keep the gateway from stopping."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    before = len(gateway.nlp.metadata)
    call = stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["slow"]))
    async with asyncio.timeout(10):
        while len(gateway.nlp.metadata) == before:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(drain, gateway.admin, 0.3)
    assert not call.done()
    call.cancel()


async def test_the_hook_of_a_container_waits_as_well(gateway: Any) -> None:
    """With nothing but bash it tells callers to go elsewhere, and ends when the last call has been answered."""
    stub = nlp_pb2_grpc.NlpServiceStub(gateway.channel)
    before = len(gateway.nlp.metadata)
    call = asyncio.ensure_future(_answer(stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["held"]))))
    async with asyncio.timeout(10):
        while len(gateway.nlp.metadata) == before:
            await asyncio.sleep(0.01)
    program, *arguments = pre_stop(int(gateway.admin.rpartition(":")[2]), 0, 20)
    hook = await asyncio.create_subprocess_exec(program, *arguments)
    # It has told Envoy, and asked twice how many calls are left; the rest of what is counted are our own questions.
    asked = f"http://{gateway.admin}/stats?filter=^http.admin.downstream_rq_total$"
    ours = 0
    async with asyncio.timeout(10):
        while int((await asyncio.to_thread(drain_module._ask, asked)).rpartition(":")[2]) < ours + 4:
            ours += 1
            await asyncio.sleep(0.05)
    assert hook.returncode is None
    gateway.nlp.release.set()
    assert (await asyncio.wait_for(call, 10)).model == "done"
    assert await asyncio.wait_for(hook.wait(), 10) == 0


async def test_a_gateway_that_has_gone_needs_no_draining() -> None:
    """Nobody answers, so nothing is waited for."""
    async with asyncio.timeout(10):
        await asyncio.to_thread(drain, "127.0.0.1:1", 60)


async def _answer(call: Any) -> pb.AnalyzeSentimentResponse:
    answer = await call
    assert isinstance(answer, pb.AnalyzeSentimentResponse)
    return answer
