"""A bounded, fair queue before a fixed number of slots, each of which works on one job at a time in its own thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol


class Full(Exception):
    """All slots are busy, and as many jobs wait as may."""


class Job(Protocol):
    """Something to be done in a slot. Its methods do not raise."""

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""

    def run(self) -> None:
        """Do it."""

    def drop(self, reason: str) -> None:
        """It will not be done."""


class Slots:
    """First come, first served. Cancelled jobs leave the queue as soon as somebody else needs their place."""

    def __init__(self, count: int, waiting: int) -> None:
        """count: jobs at once; waiting: how many more may wait."""
        self._waiting = waiting
        self._queue: deque[Job] = deque()
        self._idle = count
        self._stopping = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"slot-{number}") for number in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue. Raises Full."""
        with self._changed:
            if len(self._queue) >= self._waiting + self._idle:
                self._remove_cancelled()
            if self._stopping or len(self._queue) >= self._waiting + self._idle:
                raise Full
            self._queue.append(job)
            self._changed.notify()

    def stop(self) -> None:
        """Drop what waits, and wait for what runs."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for job in self._queue:
            job.drop("the model is being unloaded")
        self._queue.clear()

    def _remove_cancelled(self) -> None:
        for job in [job for job in self._queue if job.cancelled()]:
            self._queue.remove(job)
            job.drop("cancelled")

    def _work(self) -> None:
        while (job := self._next()) is not None:
            if job.cancelled():
                job.drop("cancelled")
            else:
                job.run()
            with self._changed:
                self._idle += 1

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            if self._stopping:
                return None
            self._idle -= 1
            return self._queue.popleft()
