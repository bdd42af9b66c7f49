"""What the watch makes of answers, and of model processes that die; Triton is faked, processes are real."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.triton.client import TritonError
from deploy.local.triton.processes import STUB, model_processes
from deploy.local.triton.watch import ModelWatch, until_sick


class FakeTriton:
    """Answers canaries from a list, the last for ever; reloads by starting a process."""

    def __init__(self, *answers: int | str) -> None:
        """answers: what is added to the right one, or the text of an error."""
        self.answers = list(answers)
        self.asked: list[int] = []
        self.deaf = 0  # so many times it does not listen
        self.model_states = {"canary": ("READY", ""), "poet": ("READY", "")}
        self.reloads: list[str] = []
        self.on_reload: Callable[[], object] = lambda: None

    async def listens(self) -> bool:
        """Not at first."""
        self.deaf -= 1
        return self.deaf < 0

    async def canary(self, value: int) -> int:
        """Give the next answer."""
        self.asked.append(value)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise TritonError(answer)
        return 2 * value + 1 + answer

    async def states(self) -> dict[str, tuple[str, str]]:
        """Give the states that the test set."""
        return self.model_states

    async def reload(self, model: str) -> None:
        """Note it, and do what the test wants done."""
        self.reloads.append(model)
        self.on_reload()


@pytest.fixture
def settings(make_settings):
    """Settings without patience."""
    return make_settings(
        canary_interval_seconds=0.001,
        process_interval_seconds=0.001,
        startup_seconds=0.05,
        canary_failures=3,
        backoff_first_seconds=0,
    )


async def test_failures_in_a_row(settings):
    """Only failures in a row make Triton sick: a right answer between them starts the count anew."""
    triton = FakeTriton(0, "hung", "hung", 0, "hung", "hung", "hung", 0)
    assert await until_sick(triton, settings) == "the canary failed 3 times: hung"
    assert len(triton.asked) == 7


async def test_wrong_answer(settings):
    """A wrong number is a failure, as much as no answer."""
    reason = await until_sick(FakeTriton(0, 5), settings)
    assert "it answered 12 for 3 instead of 7" in reason


async def test_changing_question(settings):
    """The question changes, so that an old answer that got stuck is not taken for a right one."""
    triton = FakeTriton(0, 0, 0, "hung")
    await until_sick(triton, settings)
    assert len(set(triton.asked)) == len(triton.asked) > 3


async def test_slow_start(settings):
    """While Triton loads models it does not listen, and is not asked; that may take its time, but not for ever."""
    triton = FakeTriton(0, "hung")
    triton.deaf = 2
    assert "failed 3 times" in await until_sick(triton, settings.model_copy(update={"startup_seconds": 60}))
    triton.deaf, triton.asked = 10**6, []
    assert await until_sick(triton, settings) == "it did not listen within 0.05 s of the start"
    assert not triton.asked


async def test_hung_from_the_start(settings):
    """A Triton that listens but never answered is sick after as many failures as any other."""
    triton = FakeTriton("hung")
    assert await until_sick(triton, settings) == "the canary failed 3 times: hung"
    assert len(triton.asked) == 3


class Processes:
    """Children of ours with the command line of model processes."""

    def __init__(self, directory: Path) -> None:
        self.script = directory / "stub.sh"
        self.script.write_text("read for_ever\n")
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, instance: str) -> subprocess.Popen[bytes]:
        """Start one, and wait until /proc shows it."""
        arguments = [f"shm-{len(self.running)}", "1", "1", str(os.getpid()), "backends", "0", instance, "DEFAULT"]
        self.running.append(
            subprocess.Popen([STUB, str(self.script), *arguments], executable="/bin/sh", stdin=subprocess.PIPE)
        )
        while instance not in model_processes(os.getpid()):
            assert self.running[-1].poll() is None
        return self.running[-1]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and wait until it is dead, but do not reap it: Triton does not either."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes, which end with the test."""
    started = Processes(tmp_path)
    yield started
    for process in started.running:
        process.kill()
        process.wait()


def test_model_processes(processes):
    """Model processes are found by their parent, with instance, model and shared memory; a zombie is not alive."""
    process = processes.start("a_b_0_12")
    found = model_processes(os.getpid())["a_b_0_12"]
    assert (found.pid, found.model, found.shared_memory) == (process.pid, "a_b", "shm-0")
    assert found.alive()
    kill(process)
    assert not found.alive()
    assert "a_b_0_12" not in model_processes(os.getpid())
    assert model_processes(1) == {}


async def started_watch(triton: FakeTriton, settings, known: str) -> asyncio.Task[None]:
    """A watch that knows an instance already."""
    watch = ModelWatch(triton, os.getpid(), settings)
    task = asyncio.create_task(watch.run())
    async with asyncio.timeout(10):
        while known not in watch._known:
            await asyncio.sleep(0.001)
    return task


async def until(condition: Callable[[], object], watch: asyncio.Task[None]) -> None:
    """Wait until a condition holds, within ten seconds, while the watch runs; then end it."""
    async with asyncio.timeout(10):
        while not condition():
            assert not watch.done()
            await asyncio.sleep(0.001)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def test_dead_process_of_ready_model(settings, processes):
    """A ready model that lost a process is reloaded once, and the shared memory of the dead process is removed."""
    triton = FakeTriton(0)
    first = processes.start("poet_0_0")
    leftover = settings.shared_memory_directory / "shm-0"
    leftover.touch()
    triton.on_reload = lambda: processes.start("poet_0_0")
    watch = await started_watch(triton, settings, "poet_0_0")
    first.kill()
    await until(lambda: not leftover.exists(), watch)
    assert triton.reloads == ["poet"]


async def test_reload_that_fails(settings, processes):
    """A model that does not load is tried again until it does."""
    triton = FakeTriton(0)
    first = processes.start("poet_0_0")

    def fail_twice() -> None:
        if len(triton.reloads) < 3:
            raise TritonError("no memory")
        processes.start("poet_0_0")

    triton.on_reload = fail_twice
    watch = await started_watch(triton, settings, "poet_0_0")
    first.kill()
    await until(lambda: len(processes.running) == 2, watch)
    assert triton.reloads == ["poet"] * 3


async def test_process_dies_again(settings, processes):
    """A model whose new process dies as well is reloaded again."""
    triton = FakeTriton(0)
    triton.on_reload = lambda: processes.start("poet_0_0").kill() if len(triton.reloads) < 3 else None
    first = processes.start("poet_0_0")
    watch = await started_watch(triton, settings, "poet_0_0")
    first.kill()
    await until(lambda: len(triton.reloads) == 3, watch)


@pytest.mark.parametrize("state", ["UNAVAILABLE", "UNLOADING", "LOADING"])
async def test_process_that_triton_ended(settings, processes, state):
    """A process that ended because its model was unloaded or replaced on request causes no reload."""
    triton = FakeTriton(0)
    triton.model_states["poet"] = (state, "unloaded")
    ended, killed = processes.start("poet_0_0"), processes.start("canary_0_0")
    watch = await started_watch(triton, settings, "canary_0_0")
    kill(ended)
    killed.kill()  # seen later or at the same time, so when this one was acted upon, the other had been seen
    await until(lambda: triton.reloads, watch)
    assert triton.reloads == ["canary"] * len(triton.reloads)


async def test_process_with_successor(settings, processes):
    """A process whose instance has a new process causes no reload, ready as the model is."""
    triton = FakeTriton(0)
    old, killed = processes.start("poet_0_0"), processes.start("canary_0_0")
    watch = await started_watch(triton, settings, "canary_0_0")
    processes.start("poet_0_0")
    kill(old)
    killed.kill()
    await until(lambda: triton.reloads, watch)
    assert triton.reloads == ["canary"] * len(triton.reloads)
