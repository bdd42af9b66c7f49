"""What a call does many times over: utterances, frames, nodes of a graph, calls of models. Spans of some of them.

A call may last an hour and do a thousand things in it, and its trace must stay one that can be stored and looked at.
So the first ones are recorded, then one in so many, up to a bound; what is left out is counted on the call's span.
Nothing below one that is left out is recorded either, here or in other services, whose samplers respect their caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode

from services.mesh import errors
from services.mesh.context import holding, inside
from services.mesh.status import code_of

_tracer = trace.get_tracer("maas.pieces")

Value = str | bool | int | float


@dataclass(slots=True)
class Pieces:
    """Of one call. first: all recorded so far; then one in `every`; `most` altogether."""

    first: int
    every: int
    most: int
    seen: int = 0
    recorded: int = 0

    def take(self) -> bool:
        """Whether the next one is recorded."""
        self.seen += 1
        chosen = self.seen <= self.first or (self.every > 0 and (self.seen - self.first) % self.every == 0)
        if chosen and self.recorded < self.most:
            self.recorded += 1
            return True
        return False


# None inside a piece: what belongs to one is recorded whole.
_pieces: ContextVar[Pieces | None] = ContextVar("pieces", default=None)


@contextmanager
def counted(pieces: Pieces) -> Iterator[None]:
    """What is done in the block is pieces of one call."""
    with holding(_pieces, pieces):
        yield


def left_out() -> NonRecordingSpan | None:
    """None when the next piece is to be recorded, else the span that stands for it: the current one, not sampled."""
    pieces = _pieces.get()
    if pieces is None or pieces.take():
        return None
    parent = trace.get_current_span().get_span_context()
    return NonRecordingSpan(
        SpanContext(parent.trace_id, parent.span_id, is_remote=False, trace_state=parent.trace_state)
    )


@contextmanager
def piece(
    name: str, attributes: Mapping[str, Value] | None = None, tracer: trace.Tracer = _tracer
) -> Iterator[trace.Span]:
    """One of the things that a call does many times over, as a span that is current in the block.

    name: of a bounded set. An error that leaves the block marks it, with its reason and never its text.
    """
    span = left_out() or tracer.start_span(name, attributes=attributes)
    try:
        with holding(_pieces, None), inside(trace.set_span_in_context(span)):
            yield span
    except BaseException as error:
        if span.is_recording():
            mark(span, error)
        raise
    finally:
        span.end()


def mark(span: trace.Span, error: BaseException) -> None:
    """Say on a span of our own how it failed: error.type, and the reason that callers are told."""
    if isinstance(error, errors.MeshError):
        # For example CIRCUIT_OPEN, QUEUE_FULL or BUDGET_TOO_SHORT.
        span.set_attribute("maas.error.reason", error.reason)
        kind = code_of(error).name
    elif isinstance(error, asyncio.CancelledError | GeneratorExit):
        kind = "CANCELLED"
    else:
        kind = type(error).__name__
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, kind)
