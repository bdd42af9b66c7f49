"""What a call does many times over has some spans, and not all."""

import asyncio

import pytest
from opentelemetry import trace

from services.mesh import errors
from services.mesh.client import client_span, trace_metadata
from services.mesh.pieces import Pieces, counted, piece


def made(spans, pieces, times):
    """Spans of so many utterances, each of which calls a model."""
    with trace.get_tracer("test").start_as_current_span("call"), counted(pieces):
        for number in range(times):
            with piece("utterance", {"number": number}), client_span("m/Infer"):
                pass
    found = spans.get_finished_spans()
    return [span.attributes["number"] for span in found if span.name == "utterance"], found


def test_the_first_then_one_in_so_many(spans):
    """The first are recorded whole, with what is below them; then one in so many."""
    numbers, found = made(spans, Pieces(first=3, every=5, most=100), 20)
    assert numbers == [0, 1, 2, 7, 12, 17]
    assert len([span for span in found if span.name == "m/Infer"]) == 6


def test_never_more_than_the_most(spans):
    """However long the call is, its trace is bounded, and the number left out is known."""
    pieces = Pieces(first=3, every=2, most=5)
    numbers, _ = made(spans, pieces, 1000)
    assert len(numbers) == pieces.recorded == 5
    assert pieces.seen == 1000


def test_calls_beside_pieces_count_as_well(spans):
    """A call of another service is a piece of the call that makes it."""
    with trace.get_tracer("test").start_as_current_span("call"), counted(Pieces(first=1, every=0, most=9)):
        for _ in range(3):
            with client_span("m/Infer"):
                pass
    assert [span.name for span in spans.get_finished_spans()] == ["m/Infer", "call"]


def test_what_is_left_out_here_is_left_out_elsewhere(spans):
    """Its trace context says that it is not sampled, with the same trace id, for other services to respect."""
    none = counted(Pieces(first=0, every=0, most=9))
    with trace.get_tracer("test").start_as_current_span("call") as call, none, piece("utterance"):
        (_, traceparent), *_ = trace_metadata()
    assert traceparent.endswith("-00")
    assert traceparent.split("-")[1] == format(call.get_span_context().trace_id, "032x")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (errors.Exhausted("x", reason="STREAMS_FULL"), "RESOURCE_EXHAUSTED", "STREAMS_FULL"),
        (asyncio.CancelledError(), "CANCELLED", None),
        (GeneratorExit(), "CANCELLED", None),
        (ValueError("a secret"), "ValueError", None),
    ],
)
def test_a_piece_that_fails(spans, error, kind, reason):
    """It says which error it was, and why in the word that callers get, and nothing of its text."""
    with pytest.raises(type(error)), piece("utterance"):
        raise error
    (span,) = spans.get_finished_spans()
    assert (span.attributes["error.type"], span.attributes.get("maas.error.reason")) == (kind, reason)
    assert span.status.description == kind
    assert "secret" not in span.to_json()
