"""When a model worked on a call, as it tells itself: spans of service "triton", and the call's stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import trace

from services.mesh import telemetry, timing

if TYPE_CHECKING:
    from services.mesh.ports import Array

# The output in which our models say when execution began and ended: INT64[..., 2], nanoseconds since 1970.
EXECUTION_NS = "execution_ns"


class Execution(NamedTuple):
    """One call of a model, in nanoseconds since 1970: sent, begun and ended in the model, answered."""

    sent_ns: int
    began_ns: int
    ended_ns: int
    answered_ns: int

    @classmethod
    def of(cls, sent_ns: int, answered_ns: int, execution_ns: Array) -> Execution:
        """From the model's own output; the items of a batch ran together, so the first stands for all.

        Where the clock of Triton's machine differs from ours, so that it would have begun before it was asked or ended
        after it had answered, the way there and the way back are taken to be as long as each other.
        """
        began_ns, ended_ns = (int(value) for value in execution_ns.reshape(-1, 2)[0])
        if began_ns < sent_ns or ended_ns > answered_ns:
            took = min(ended_ns - began_ns, answered_ns - sent_ns)
            began_ns = sent_ns + (answered_ns - sent_ns - took) // 2
            ended_ns = began_ns + took
        return cls(sent_ns, began_ns, ended_ns, answered_ns)

    @property
    def queue_ns(self) -> int:
        """Until it began: the way there included."""
        return self.began_ns - self.sent_ns

    @property
    def compute_ns(self) -> int:
        """While it ran."""
        return self.ended_ns - self.began_ns

    def tell(self, model: str, span: trace.Span, *, first_response_ns: int | None = None) -> None:
        """To the clock of the call that is being answered, and as two children of the call's span."""
        clock = timing.current()
        if clock is not None:
            clock.executed(self.queue_ns, self.compute_ns, self.answered_ns - self.sent_ns)
        if not span.is_recording():
            return
        tracer, parent = telemetry.triton_tracer(), trace.set_span_in_context(span)
        for name, start, end in (
            ("queue", self.sent_ns, self.began_ns),
            ("compute", self.began_ns, self.ended_ns),
        ):
            child = tracer.start_span(f"triton {name}", parent, start_time=start, attributes={"maas.model": model})
            if name == "compute" and first_response_ns is not None:
                child.add_event("first response", timestamp=min(max(first_response_ns, start), end))
            child.end(end_time=end)
