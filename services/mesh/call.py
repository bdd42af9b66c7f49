"""The call that is being answered, for all that is told of it: its log line, its metrics, its spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from grpc.aio import ServicerContext

Context = ServicerContext[Any, Any]


@dataclass(slots=True, eq=False)
class Call:
    """One call as the interceptors see it.

    method: "package.Service/Method". sends_stream, gets_stream: whether its client sends a stream of requests, and gets
    one of answers. received: the metadata that came with it. messages_*, bytes_*: what came and went until now. reason:
    of the error that it failed with. models: those that were asked. watch: is told of each message that goes out.
    """

    method: str
    context: Context
    sends_stream: bool
    gets_stream: bool
    received: Sequence[tuple[str, str | bytes]] = field(init=False)
    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    reason: str = ""
    models: set[str] = field(default_factory=set)
    watch: Callable[[], None] | None = None

    @property
    def streams(self) -> bool:
        """Whether either side sends a stream."""
        return self.sends_stream or self.gets_stream

    def __post_init__(self) -> None:
        # gRPC makes it anew each time that it is asked for it.
        self.received = tuple(self.context.invocation_metadata() or ())


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def current_call() -> Call | None:
    """The call that this code runs for; None for what a process does by itself."""
    return _current.get()


def begin(call: Call) -> None:
    """Make it the current one of this task, which is the call's own, and of those that it starts."""
    _current.set(call)
