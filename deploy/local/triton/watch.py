"""Sees whether Triton computes, and whether each of its models has its processes."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Protocol

import structlog

from deploy.local.triton.backoff import Backoff
from deploy.local.triton.client import TritonError
from deploy.local.triton.processes import ModelProcess, model_processes
from deploy.local.triton.settings import Settings

log: structlog.stdlib.BoundLogger = structlog.get_logger("triton-guard")

_VALUES = 2**20  # canary values come round after so many, within int32
_STARTING_INTERVAL_SECONDS = 0.1


class Server(Protocol):
    """What the watch asks of Triton; see deploy.local.triton.client.Triton."""

    async def listens(self) -> bool:
        """Whether it accepts connections."""

    async def canary(self, value: int) -> int:
        """Return 2 * value + 1."""

    async def states(self) -> dict[str, tuple[str, str]]:
        """Return each model's state and the reason for it."""

    async def reload(self, model: str) -> None:
        """Unload the model and load it again."""


async def until_sick(triton: Server, settings: Settings) -> str:
    """Ask the canary for as long as it answers rightly; return why Triton must be restarted."""
    started = time.monotonic()
    # Triton listens only when all models are loaded or have failed to: from then on it must answer.
    while not await triton.listens():
        if time.monotonic() - started > settings.startup_seconds:
            return f"it did not listen within {settings.startup_seconds:g} s of the start"
        await asyncio.sleep(_STARTING_INTERVAL_SECONDS)
    failures, announced = 0, False
    for number in itertools.count():
        problem = await _canary_problem(triton, number % _VALUES)
        if problem is None:
            failures = 0
            if not announced:
                announced = True
                await _announce(triton, time.monotonic() - started)
        else:
            failures += 1
            log.warning("the canary failed", failures=failures, of=settings.canary_failures, problem=problem)
            if failures >= settings.canary_failures:
                break
        await asyncio.sleep(settings.canary_interval_seconds)
    return f"the canary failed {failures} times: {problem}"


async def _canary_problem(triton: Server, value: int) -> str | None:
    try:
        answer = await triton.canary(value)
    except TritonError as error:
        return str(error)
    # A wrong number is as bad as none: shared memory that got mixed up shows like this.
    return None if answer == 2 * value + 1 else f"it answered {answer} for {value} instead of {2 * value + 1}"


async def _announce(triton: Server, seconds: float) -> None:
    try:
        states = await triton.states()
    except TritonError as error:
        log.warning("triton answers, but does not list its models", problem=str(error))
        return
    log.info("triton answers", seconds=round(seconds, 1), ready=sum(state == "READY" for state, _ in states.values()))
    for model, (state, reason) in states.items():
        if state != "READY":
            log.error("a model is not ready; the others are served", model=model, state=state, reason=reason)


class ModelWatch:
    """Reloads each model that lost a process: Triton calls it ready, and fails every call to it, for ever.

    Bounded by the number of model processes.
    """

    def __init__(self, triton: Server, server_pid: int, settings: Settings) -> None:
        """server_pid: of tritonserver, whose children the model processes are."""
        self._triton = triton
        self._server_pid = server_pid
        self._settings = settings
        self._known: dict[str, ModelProcess] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._reloading: set[str] = set()

    async def run(self) -> None:
        """Watch for ever."""
        scan_at = 0.0
        async with asyncio.TaskGroup() as reloads:
            while True:
                watched = [process for process in self._known.values() if process.model not in self._reloading]
                dead = [process for process in watched if not process.alive()]
                if dead or time.monotonic() >= scan_at:
                    # To find new processes is much more work than to see that known ones live, and less urgent.
                    self._known |= model_processes(self._server_pid)
                    scan_at = time.monotonic() + self._settings.canary_interval_seconds
                for model in await self._broken(dead):
                    self._reloading.add(model)
                    reloads.create_task(self._reload(model))
                await asyncio.sleep(self._settings.process_interval_seconds)

    async def _broken(self, dead: list[ModelProcess]) -> set[str]:
        """The models that Triton calls ready although a process of theirs is dead and nothing took its place."""
        missing = [process for process in dead if self._known[process.instance] is process]
        if not missing:
            return set()
        try:
            states = await self._triton.states()
        except TritonError:
            return set()  # the canary sees to that
        for process in missing:
            if states.get(process.model, ("UNAVAILABLE", ""))[0] == "UNAVAILABLE":
                del self._known[process.instance]  # somebody asked Triton to unload it
        return {process.model for process in missing if states.get(process.model, ("", ""))[0] == "READY"}

    async def _reload(self, model: str) -> None:
        """Reload a model until that succeeds, the first time at once."""
        backoff = self._backoffs.setdefault(
            model,
            Backoff(
                first_seconds=self._settings.backoff_first_seconds,
                longest_seconds=self._settings.backoff_longest_seconds,
                window_seconds=self._settings.restart_window_seconds,
            ),
        )
        lost = [process for process in self._known.values() if process.model == model and not process.alive()]
        log.warning("a model process is gone; reloading its model", model=model, pids=[process.pid for process in lost])
        while True:
            await asyncio.sleep(backoff.wait_seconds)
            backoff.failed()
            began = time.monotonic()
            try:
                await self._triton.reload(model)
            except TritonError as error:
                log.warning(
                    "a model does not load", model=model, retry_seconds=backoff.wait_seconds, problem=str(error)
                )
            else:
                break
        for process in lost:  # Triton leaves the shared memory of a process that was killed
            (self._settings.shared_memory_directory / process.shared_memory).unlink(missing_ok=True)
        self._known |= model_processes(self._server_pid)
        self._reloading.discard(model)
        log.info("model reloaded", model=model, seconds=round(time.monotonic() - began, 1))
