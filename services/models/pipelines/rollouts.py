"""The rollouts of all models: begun, ended and driven here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from services.mesh import errors
from services.mesh.repository import Fleet
from services.models.pipelines.beginning import begin
from services.models.pipelines.driver import Driver, Progress
from services.models.pipelines.kept import MAX_ROLLOUTS, Kept, Record
from services.models.pipelines.rollout import Limits, Rollout, Stage

log = structlog.get_logger()

# Of a change while the rollout goes on at the same time.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds between looks.

    read: at what is kept; others write seldom: people by hand, and another process of this service while one takes over
    from the other. running, settled: at a rollout. again: after a change that somebody else made at the same time.
    """

    read: float = 5.0
    running: float = 1.0
    settled: float = 5.0
    again: float = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """A rollout and what was last seen of it."""

    rollout: Rollout
    progress: Progress

    @property
    def settled(self) -> bool:
        """Whether every replica serves what it is to serve."""
        seen = self.progress.replicas
        return bool(seen) and all(versions == frozenset({self.rollout.wanted(name)}) for name, versions in seen.items())


@dataclass(slots=True)
class _Active:
    """A rollout at work. woken: that it has changed."""

    record: Record
    driver: Driver
    woken: asyncio.Event
    task: asyncio.Task[None] | None = None


class Rollouts:
    """The last rollout of each model, as this process knows it, and a task for each.

    What is kept decides: a change is made where the rollouts are kept, and only if nobody made another since.
    """

    def __init__(
        self,
        fleet: Fleet,
        kept: Kept,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        periods: Periods | None = None,
    ) -> None:
        """now: seconds since 1970. clock: seconds that never go back."""
        self._fleet, self._kept, self._now, self._clock = fleet, kept, now, clock
        self._periods = periods or Periods()
        self._active: dict[str, _Active] = {}
        # Why nothing has been read so far.
        self._unread: errors.MeshError | None = errors.Unavailable(
            "the rollouts were not read yet", reason="STATE_UNREACHABLE", retry_after_seconds=1
        )
        # A list that was read must not overwrite what was written meanwhile.
        self._order = asyncio.Lock()

    def known(self) -> bool:
        """Whether it has been read what rollouts there are."""
        return self._unread is None

    async def watch(self) -> None:
        """Drive all rollouts for ever; run it as a task."""
        try:
            while True:
                try:
                    await self.refresh()
                except errors.MeshError as error:
                    self._unread = self._unread and error
                    log.warning("the rollouts cannot be read", reason=error.reason)
                except Exception:  # what cannot be read now may be at the next look
                    log.exception("reading the rollouts broke")
                await asyncio.sleep(self._periods.read)
        finally:
            tasks = [active.task for active in self._active.values() if active.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> None:
        """Read what is kept, and go on with what is new. Raises Unavailable."""
        async with self._order:
            records = {record.rollout.model: record for record in await self._kept.list()}
            self._unread = None
            for gone in self._active.keys() - records.keys():
                self._forget(gone)
            for record in records.values():
                self._set(record)

    def view(self, model: str) -> View:
        """The last rollout of a model. Raises NotFound, and Unavailable as long as nothing was read."""
        active = self._require(model)
        return View(active.record.rollout, active.driver.progress)

    def find(self, model: str) -> View | None:
        """As `view`, None without one."""
        self._require_read()
        return self.view(model) if model in self._active else None

    def views(self) -> list[View]:
        """All of them, by model. Raises Unavailable as long as nothing was read."""
        self._require_read()
        return [self.view(model) for model in sorted(self._active)]

    async def start(self, model: str, version: int, limits: Limits) -> View:
        """A new rollout, or the one that is under way.

        Raises NotFound, FailedPrecondition with what keeps it from beginning, Exhausted and Unavailable.
        """
        self._require_read()
        known = self._active.get(model)
        if known and known.record.rollout.stage is Stage.RUNNING:
            if known.record.rollout.version == version:
                return self.view(model)
            raise errors.FailedPrecondition(
                f"a rollout of version {known.record.rollout.version} of {model!r} is under way: end it first",
                reason="ROLLOUT_RUNNING",
                metadata={"model": model},
            )
        if known is None and len(self._active) >= MAX_ROLLOUTS:
            raise errors.Exhausted(
                f"{MAX_ROLLOUTS} rollouts are kept, which is the limit; delete one first", reason="TOO_MANY_ROLLOUTS"
            )
        rollout = await begin(self._fleet, model, version, limits, self._now())
        try:
            async with self._order:
                if known is None:
                    self._set(await self._kept.create(rollout))
                else:
                    self._set(await self._kept.replace(known.record, rollout))
        except (errors.AlreadyExists, errors.Aborted):
            # Somebody else began one at the same time; the same is as well.
            await self.refresh()
            view = self.find(model)
            if view is None or view.rollout.stage is not Stage.RUNNING or view.rollout.version != version:
                raise
        return self.view(model)

    async def back(self, model: str) -> View:
        """Every replica gets the previous version. Raises NotFound, Aborted and Unavailable."""
        return await self._change(
            model, lambda found: found if found.stage is Stage.ROLLED_BACK else found.back("asked for", self._now())
        )

    async def promote(self, model: str) -> View:
        """Every replica gets the new version. Raises as `back`, and FailedPrecondition for one that was rolled back."""

        def promoted(found: Rollout) -> Rollout:
            if found.stage is Stage.ROLLED_BACK:
                raise errors.FailedPrecondition(
                    f"the rollout of {model!r} was rolled back: start another", reason="ROLLOUT_ENDED"
                )
            return found if found.stage is Stage.PROMOTED else found.promote("asked for", self._now())

        return await self._change(model, promoted)

    async def delete(self, model: str) -> None:
        """Forget a rollout that has ended. Raises as `back`, and FailedPrecondition for one that runs."""
        active = self._require(model)
        if active.record.rollout.stage is Stage.RUNNING:
            raise errors.FailedPrecondition(
                f"the rollout of {model!r} is under way: end it first", reason="ROLLOUT_RUNNING"
            )
        async with self._order:
            await self._kept.delete(active.record)
            self._forget(model)

    async def _change(self, model: str, change: Callable[[Rollout], Rollout]) -> View:
        for left in reversed(range(_TRIES)):
            record = self._require(model).record
            try:
                await self._write(record, change(record.rollout))
            except errors.Aborted:
                if not left:
                    raise
                await self.refresh()
            else:
                return self.view(model)
        raise AssertionError("the last try returns or raises")

    async def _write(self, record: Record, rollout: Rollout) -> Record:
        """Keep a change. Raises Aborted when the record is not the one that is known here or kept, and Unavailable."""
        async with self._order:
            active = self._active.get(record.rollout.model)
            if active is None or active.record.revision != record.revision:
                raise errors.Aborted("the rollout was changed meanwhile")
            if rollout == record.rollout:
                return record
            self._set(written := await self._kept.replace(record, rollout))
            return written

    def _set(self, record: Record) -> None:
        """Know what is kept; a rollout that is new gets a task."""
        model = record.rollout.model
        active = self._active.get(model)
        if active is None:
            driver = Driver(self._fleet, self._write, record, now=self._now, clock=self._clock)
            active = self._active[model] = _Active(record, driver, asyncio.Event())
            active.task = asyncio.create_task(self._drive(active))
        elif active.record.revision != record.revision:
            active.record = record
            active.woken.set()

    def _forget(self, model: str) -> None:
        active = self._active.pop(model)
        if active.task:
            active.task.cancel()

    async def _drive(self, active: _Active) -> None:
        while True:
            active.woken.clear()
            try:
                await active.driver.look(active.record)
            except errors.Aborted:
                # By whom the change was made here, he woke us; if elsewhere, it is read now.
                await self._read_again()
                continue
            except errors.MeshError as error:
                log.warning("a rollout cannot go on", model=active.record.rollout.model, reason=error.reason)
            except Exception:  # the others must go on, and this one may at the next look
                log.exception("a rollout broke", model=active.record.rollout.model)
            settled = active.record.rollout.settled
            seconds = self._periods.settled if settled else self._periods.running
            # Not wait_for, which in Python 3.11 may lose a cancellation.
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await active.woken.wait()

    async def _read_again(self) -> None:
        with suppress(errors.MeshError):
            await self.refresh()
        await asyncio.sleep(self._periods.again)

    def _require(self, model: str) -> _Active:
        self._require_read()
        active = self._active.get(model)
        if active is None:
            raise errors.NotFound.named("rollout", model, list(self._active))
        return active

    def _require_read(self) -> None:
        if self._unread:
            # The same again; it must not grow by where it was raised before.
            raise self._unread.with_traceback(None)
