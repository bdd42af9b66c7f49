"""Slots take jobs in turn, a bounded number of them."""

from __future__ import annotations

import threading

import pytest

from deploy.triton.slots import Full, Slots

PATIENCE = 10


class Job:
    """Runs until it is let go; keeps what became of it in `record`."""

    def __init__(self, name, record):
        self.name, self.record = name, record
        self.begun, self.leave, self.ended = (threading.Event() for _ in range(3))
        self.gone = False

    def cancelled(self):
        return self.gone

    def run(self):
        self.record.append(f"{self.name} runs")
        self.begun.set()
        assert self.leave.wait(PATIENCE)
        self.ended.set()

    def drop(self, reason):
        self.record.append(f"{self.name} dropped: {reason}")
        self.ended.set()


@pytest.fixture
def slots():
    """One slot, before which two may wait."""
    one = Slots(1, 2)
    yield one
    one.stop()


@pytest.fixture
def jobs():
    """Jobs a to e, which share their record."""
    record: list[str] = []
    made = [Job(name, record) for name in "abcde"]
    yield made
    for job in made:
        job.leave.set()


def begin(slots, jobs):
    """Give the slot its first job, and put two more behind it."""
    slots.submit(jobs[0])
    assert jobs[0].begun.wait(PATIENCE)
    slots.submit(jobs[1])
    slots.submit(jobs[2])


def test_first_come_first_served(slots, jobs):
    """Jobs run in the order in which they came; one too many is refused."""
    begin(slots, jobs)
    with pytest.raises(Full):
        slots.submit(jobs[3])
    for job in jobs[:3]:
        job.leave.set()
        assert job.ended.wait(PATIENCE)
    assert jobs[0].record == ["a runs", "b runs", "c runs"]


def test_a_cancelled_job_makes_room(slots, jobs):
    """A full queue lets go of those that nobody waits for, so that another one fits."""
    begin(slots, jobs)
    jobs[1].gone = True
    slots.submit(jobs[3])
    assert jobs[0].record == ["a runs", "b dropped: cancelled"]


def test_a_cancelled_job_is_not_run(slots, jobs):
    """One that was cancelled while it waited is passed over."""
    begin(slots, jobs)
    jobs[1].gone = True
    jobs[0].leave.set()
    assert jobs[2].begun.wait(PATIENCE)
    assert jobs[0].record == ["a runs", "b dropped: cancelled", "c runs"]


def test_stopping(jobs):
    """What runs may end, what waits is dropped, and nothing more is taken."""
    slots = Slots(1, 2)
    begin(slots, jobs)
    stopper = threading.Thread(target=slots.stop)
    stopper.start()
    jobs[0].leave.set()
    stopper.join(PATIENCE)
    assert jobs[0].record == ["a runs", *(f"{name} dropped: the model is being unloaded" for name in "bc")]
    with pytest.raises(Full):
        slots.submit(jobs[3])
