"""What a process writes: its own lines and those of libraries, in one form."""

import json
import subprocess
import sys

import pytest

from deploy.local.settings import REPOSITORY

SAID = "what a caller sent"
# A process in which everything goes wrong that can.
WRONG = f"""
import asyncio, logging, sys, threading, warnings
import structlog, uvloop
from services.mesh import logs

logs.start("test", "json", sys.argv[1])
log = structlog.get_logger()

def fail():
    try:
        raise ValueError({SAID!r})
    except ValueError as error:
        raise KeyError({SAID!r}) from error

async def main():
    task = asyncio.create_task(asyncio.to_thread(fail))
    await asyncio.wait([task])
    del task
    async def group():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(fail))
    try:
        await group()
    except ExceptionGroup:
        log.exception("a group failed")
    asyncio.get_running_loop().call_soon(fail)
    await asyncio.sleep(0)

try:
    fail()
except KeyError:
    log.exception("a handler failed", method="m")
uvloop.run(main())
thread = threading.Thread(target=fail)
thread.start()
thread.join()
warnings.warn("a warning", RuntimeWarning)
logging.getLogger("grpc").warning("a library says %s\\nand {SAID}", "this")
logging.getLogger("grpc").info("too much")
log.debug("looking for a fault")
fail()
"""


def lines(level):
    """What that process writes, each line read as JSON."""
    command = [sys.executable, "-c", WRONG, level]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    return [json.loads(line) for line in done.stderr.splitlines()], done.stderr


def test_every_complaint_is_a_line_of_json():
    """Those of our code, of asyncio, of threads, warnings, libraries, and the error that ends the process."""
    found, text = lines("info")
    told = [(line["level"], line.get("logger", ""), line["event"].partition(":")[0]) for line in found]
    assert ("error", "", "a handler failed") in told
    assert ("error", "", "a group failed") in told
    assert ("error", "asyncio", "Task exception was never retrieved") in told
    assert any(logger == "asyncio" and event.startswith("Exception in callback") for _, logger, event in told)
    assert any(logger == "py.warnings" for _, logger, _ in told)
    assert ("warning", "grpc", "a library says this") in told
    assert told.count(("error", "", "an error that nobody caught")) == 2
    assert {line["service"] for line in found} == {"test"}
    assert not any(event in ("too much", "looking for a fault") for _, _, event in told)
    # Where it was and what it was, but not what it was about.
    (line,) = [line for line in found if line["event"] == "a handler failed"]
    assert line["exception"].splitlines()[-1] == "builtins.KeyError"
    assert "builtins.ValueError" in line["exception"]
    assert "in fail" in line["exception"]
    assert SAID not in text


def test_level_debug_shows_what_exceptions_say():
    """Whoever looks for a fault chooses that."""
    found, text = lines("debug")
    assert "looking for a fault" in {line["event"] for line in found}
    assert f"ValueError: {SAID}" in text


@pytest.mark.parametrize("level", ["warning", "error"])
def test_a_level_leaves_out_what_is_below(level):
    """Also of libraries."""
    found, _ = lines(level)
    assert {line["level"] for line in found} == {"warning", "error"} - ({"warning"} if level == "error" else set())
