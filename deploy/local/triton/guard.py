"""Runs Triton, again and again if need be, until it is told to stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from deploy.local.triton import launch
from deploy.local.triton.backoff import Backoff
from deploy.local.triton.client import Triton
from deploy.local.triton.settings import Settings
from deploy.local.triton.watch import ModelWatch, until_sick

log: structlog.stdlib.BoundLogger = structlog.get_logger("triton-guard")


async def guard(settings: Settings, stopping: asyncio.Event) -> bool:
    """Keep Triton running until `stopping` is set (True), or until it failed too often (False)."""
    backoff = Backoff(
        first_seconds=settings.backoff_first_seconds,
        longest_seconds=settings.backoff_longest_seconds,
        window_seconds=settings.restart_window_seconds,
    )
    while True:
        reason = await run_once(settings, stopping)
        if reason is None:
            return True
        failures = backoff.failed()
        if failures > settings.restart_limit:
            log.error("giving up", failures=failures, within_seconds=settings.restart_window_seconds, reason=reason)
            return False
        log.error("restarting triton", reason=reason, wait_seconds=backoff.wait_seconds)
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), backoff.wait_seconds)
            return True


async def run_once(settings: Settings, stopping: asyncio.Event) -> str | None:
    """Run one Triton to its end. Returns why it had to end, or None when `stopping` was set."""
    process = await launch.start(settings)
    log.info("triton starts", pid=process.pid, grpc=settings.grpc_address)
    patience_seconds = settings.kill_seconds  # for one that is sick; it takes no new calls in that time
    # The connection is closed after Triton has ended, never under its feet.
    async with Triton(
        settings.grpc_address, timeout_seconds=settings.canary_timeout_seconds, load_seconds=settings.load_seconds
    ) as triton:
        exited = asyncio.create_task(process.wait())
        sick = asyncio.create_task(until_sick(triton, settings))
        stop = asyncio.create_task(stopping.wait())
        models = asyncio.create_task(ModelWatch(triton, process.pid, settings).run())
        tasks = (exited, sick, stop, models)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                patience_seconds += settings.drain_seconds
                return None
            if exited.done():
                return f"tritonserver ended with {_ending(exited.result())}"
            if models.done():
                models.result()  # it never ends but by a fault of ours, which is raised here
            return sick.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await launch.end(process, settings, patience_seconds=patience_seconds)
            log.info("triton ended", pid=process.pid, ending=_ending(process.returncode))


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
