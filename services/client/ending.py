"""How a call really ended.

When a server ends a call that is being written to, the write fails as well, and grpc.aio then puts a status INTERNAL
of its own beside the one that the server sent (grpc/grpc#36066): over it when that came first, below it otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import grpc
from grpc.aio import AioRpcError, Call, Metadata

_OWN = "Internal error from Core"
# How long the server's status may be behind the failed write: both have arrived by then.
_POLLS, _POLL_SECONDS = 20, 0.005


class Ending:
    """Watches one call, from its beginning."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._first: AioRpcError | None = None
        call.add_done_callback(self._ended)

    async def meant(self, error: AioRpcError) -> AioRpcError | None:
        """What the server meant by an error that was raised; None when it ended the call well.

        The error itself when nothing better is known.
        """
        found = self._first or error
        for _ in range(_POLLS):
            if not _is_own(found):
                break
            await asyncio.sleep(_POLL_SECONDS)
            found = _status(self._call)
        return None if found.code() is grpc.StatusCode.OK else found

    def _ended(self, call: Call) -> None:
        self._first = _status(call)


def _is_own(error: AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _OWN


def _status(call: Call) -> AioRpcError:
    """The status of a call that has ended, as it is now."""
    trailing = _at_once(call.trailing_metadata())
    return AioRpcError(_at_once(call.code()), Metadata(), trailing or Metadata(), _at_once(call.details()))


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("Any", done.value)
    raise RuntimeError("the status of a call that has ended must be there")
