"""Live recognition behind a command: sound as it comes, Ctrl-C, and errors as a person wants to read them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import typer
from grpc.aio import AioRpcError

from maas.speech.v1 import live_pb2 as pb
from services.cli import traces
from services.cli.failure import explain
from services.cli.output import errors
from services.client import CannotResume, recognize_stream

_METHOD = "maas.speech.v1.SpeechService/StreamingRecognize"
# As a shell tells that Ctrl-C ended a program.
_INTERRUPTED = 130
_STEPS_A_SECOND = 10
# Of a container nothing can be let go. More than a day of speech as it is usually compressed.
_KEPT_BYTES = 256 * 1024 * 1024


@dataclass
class Line:
    """A connection for one transcript. stop: set when the sound is to end here."""

    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...]
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def recognize(
        self, config: pb.StreamingRecognizeConfig, sound: AsyncIterator[bytes], *, wait_seconds: float
    ) -> AsyncGenerator[pb.StreamingRecognizeResponse, None]:
        """The answers, over as many calls as it takes. A connection that breaks is told on standard error."""
        begun = False

        def on_break(error: AioRpcError, seconds: float) -> None:
            # Who just typed a command wants to know at once that nobody answers.
            if not begun and error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise error
            errors().print(f"the connection broke ({error.code().name}); going on in {seconds:.1f} s", style="yellow")

        answers = recognize_stream(
            self.channel,
            config,
            sound,
            kept_bytes=_KEPT_BYTES if not config.format.encoding else 0,
            wait_for_place_seconds=wait_seconds,
            metadata=self.metadata,
            on_break=on_break,
        )
        async with aclosing(answers):
            async for answer in answers:
                begun = True
                yield answer


def run(
    address: str, timeout_seconds: float, work: Callable[[Line], Coroutine[None, None, None]], *, ends: bool
) -> None:
    """Do some work with a connection. ends: whether the first Ctrl-C ends the sound, and only the second the work.

    Failures are explained on standard error and end the command with code 1, Ctrl-C with code 130.
    """
    try:
        asyncio.run(_run(address, timeout_seconds, work, ends=ends))
    except grpc.RpcError as error:
        explain(error, address, timeout_seconds)
        raise typer.Exit(1) from None
    except TimeoutError:
        errors().print(f"DEADLINE_EXCEEDED: not done within {timeout_seconds:g} s; --timeout gives it more")
        raise typer.Exit(1) from None
    except CannotResume:
        errors().print("UNAVAILABLE: the connection broke, and this sound is too long to be sent again")
        raise typer.Exit(1) from None
    except BrokenPipeError:
        # Whoever read the output has enough; what Python would still write at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (KeyboardInterrupt, asyncio.CancelledError):
        errors().print("\nstopped", style="dim")
        raise typer.Exit(_INTERRUPTED) from None


async def _run(
    address: str, timeout_seconds: float, work: Callable[[Line], Coroutine[None, None, None]], *, ends: bool
) -> None:
    with traces.traced(_METHOD, traces.collector()) as metadata:
        async with (
            asyncio.timeout(timeout_seconds),
            grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel,
        ):
            line = Line(channel, metadata)
            working = asyncio.ensure_future(work(line))
            with _interrupts(lambda: working.cancel() if line.stop.is_set() or not ends else line.stop.set()):
                await working


@contextmanager
def _interrupts(call: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C calls a function inside the block."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, call)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def arriving(chunks: Iterator[bytes], stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Chunks that block, as they come. They end when `stop` is set, however long the next one takes."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            coming: asyncio.Future[bytes] = loop.create_future()
            # A thread that nobody waits for at the end: it may read from a pipe that stays silent.
            threading.Thread(target=_take, args=(chunks, coming), daemon=True).start()
            either: set[asyncio.Future[Any]] = {coming, stopped}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done() or not (chunk := coming.result()):
                return
            yield chunk
    finally:
        stopped.cancel()


def _take(chunks: Iterator[bytes], coming: asyncio.Future[bytes]) -> None:
    give: Callable[[], None]
    try:
        chunk = next(chunks, b"")
        give = partial(_settle, coming, chunk, None)
    except Exception as error:  # noqa: BLE001 - raised again where the chunk is awaited
        give = partial(_settle, coming, b"", error)
    # The command may have ended meanwhile.
    with suppress(RuntimeError):
        coming.get_loop().call_soon_threadsafe(give)


def _settle(coming: asyncio.Future[bytes], chunk: bytes, error: Exception | None) -> None:
    if coming.done():
        return
    if error:
        coming.set_exception(error)
    else:
        coming.set_result(chunk)


async def paced(chunks: AsyncIterator[bytes], bytes_per_second: int) -> AsyncIterator[bytes]:
    """The same bytes, no faster than they sound."""
    loop = asyncio.get_running_loop()
    step = max(1, bytes_per_second // _STEPS_A_SECOND)
    begin, sent = 0.0, 0
    async for chunk in chunks:
        begin = begin or loop.time()
        for start in range(0, len(chunk), step):
            piece = chunk[start : start + step]
            sent += len(piece)
            await asyncio.sleep(begin + sent / bytes_per_second - loop.time())
            yield piece
