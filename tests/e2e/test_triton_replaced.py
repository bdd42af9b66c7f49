"""Two real Tritons behind one address are replaced in turn under load, and no call is lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.drain import JOIN_SECONDS
from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.settings import TritonSettings
from services.mesh.triton import TritonInference, open_triton
from tests.e2e.running_guard import RunningGuard

CALLERS = 8


@pytest.fixture
def tritons(tmp_path: Path) -> Iterator[list[RunningGuard]]:
    """Two that serve the same two models."""
    guards = [RunningGuard(tmp_path / name) for name in ("one", "two")]
    try:
        for guard in guards:
            guard.wait_until(guard.answers, "both models answer", 60)
        yield guards
    finally:
        for guard in guards:
            guard.process.terminate()
        for guard in guards:
            guard.process.wait(30)


async def test_a_triton_is_replaced_and_no_call_is_lost(tritons: list[RunningGuard]) -> None:
    """While one stops it refuses calls and unloads its models; the other answers, and both models stay ready."""
    address = ",".join(f"127.0.0.1:{guard.ports[0]}" for guard in tritons)
    answered, failed, stopping = 0, list[str](), asyncio.Event()

    async def call_again_and_again(inference: TritonInference, number: int) -> None:
        nonlocal answered
        value = np.array([number], np.int32)
        while not stopping.is_set():
            try:
                found = await inference.infer(
                    ("canary", "twin")[number % 2], {"value": value}, ["value"], deadline=Deadline.after(20)
                )
            except errors.MeshError as error:
                failed.append(repr(error))
            else:
                assert found["value"].tolist() == [2 * number + 1]
                answered += 1
            await asyncio.sleep(0.01)

    async with open_triton(TritonSettings(triton_address=f"ipv4:{address}")) as inference, asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(call_again_and_again(inference, number))
        try:
            for guard in (*tritons, *tritons):
                await asyncio.sleep(JOIN_SECONDS)
                await asyncio.to_thread(_stop, guard)
                guard.process = guard.start()
                await asyncio.to_thread(guard.wait_until, guard.answers, "both models answer again", 60)
        finally:
            stopping.set()
    assert failed == []
    assert answered > 500


def _stop(guard: RunningGuard) -> None:
    guard.process.send_signal(signal.SIGTERM)
    assert guard.process.wait(30) == 0
