"""What happens in an answer that is a stream, on its span: the first message, and long silences."""

from __future__ import annotations

import time

from opentelemetry import trace

# Silences that become events; the rest are counted only.
_MAX_EVENTS = 16
_STALL_SECONDS = 5.0


class AnswerStream:
    """Is told of each message."""

    __slots__ = ("_begun", "_last", "_span", "_stalls")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._last = time.monotonic()
        self._begun = False
        self._stalls = 0

    def __call__(self) -> None:
        """A message is about to be sent."""
        if not self._begun:
            self._span.add_event("first response")
            self._begun = True
        self._look()

    def end(self) -> None:
        """No more come."""
        self._look()
        if self._stalls:
            self._span.set_attribute("maas.stream.stalls", self._stalls)

    def _look(self) -> None:
        now = time.monotonic()
        silence = now - self._last
        self._last = now
        if silence >= _STALL_SECONDS:
            self._stalls += 1
            if self._stalls <= _MAX_EVENTS:
                began = time.time_ns() - round(silence * 1e9)
                self._span.add_event("stall", {"maas.stall.seconds": round(silence, 1)}, timestamp=began)
