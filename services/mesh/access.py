"""One canonical line a call, and what is counted of calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from services.mesh import instruments, timing
from services.mesh.call import Call
from services.mesh.interceptors import Around, outcome

log = structlog.get_logger()

# With it gRPC tells, from the second attempt on, how many there were before.
_ATTEMPTS = "grpc-previous-rpc-attempts"


def access_log() -> Around:
    """The line, and duration, activity and repetition of calls as metrics."""
    return _Access().around


class _Access:
    """Of one server."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        instruments.SERVER_ACTIVE.ask(self, _Access.active_calls)
        instruments.STREAMS_ACTIVE.ask(self, _Access.active_streams)

    @asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """One call."""
        began = time.perf_counter()
        self._count(call, 1)
        if any(key == _ATTEMPTS for key, _ in call.received):
            instruments.SERVER_RETRIED.add(1, {instruments.METHOD: call.method})
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            self._count(call, -1)
            code = outcome(call.context, failure).name
            seconds = time.perf_counter() - began
            instruments.SERVER_DURATION.record(seconds, {instruments.METHOD: call.method, instruments.CODE: code})
            log.info("call", **_line(call, code, seconds))

    def _count(self, call: Call, change: int) -> None:
        self._calls[call.method] += change
        if call.streams:
            self._streams[call.method] += change

    def active_calls(self) -> instruments.Values:
        """By method."""
        return [(count, {instruments.METHOD: method}) for method, count in list(self._calls.items())]

    def active_streams(self) -> instruments.Values:
        """By method; those among the calls that are streams."""
        return [(count, {instruments.METHOD: method}) for method, count in list(self._streams.items())]


def _line(call: Call, code: str, seconds: float) -> dict[str, object]:
    """What the log says of a call: sizes and names, and nothing of what was sent."""
    said: dict[str, object] = {"method": call.method, "code": code}
    if call.reason:
        said["reason"] = call.reason
    said |= {"milliseconds": round(seconds * 1000, 1), "bytes_in": call.bytes_in, "bytes_out": call.bytes_out}
    if call.streams:
        said |= {"messages_in": call.messages_in, "messages_out": call.messages_out}
    if call.models:
        said["models"] = sorted(call.models)
    clock = timing.current()
    if clock is not None and (stages := clock.stages()):
        said["stages"] = {name: round(spent * 1000, 1) for name, spent in stages.items()}
    return said
