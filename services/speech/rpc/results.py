"""What was heard, as messages of the contract."""

from __future__ import annotations

from maas.speech.v1 import transcript_pb2 as pb
from services.mesh.durations import to_duration
from services.speech.pipelines.recognition.transcriber import Alternative, Segment, Word


def segment(found: Segment, *, words: bool = True) -> pb.SpeechSegment:
    """A piece of speech. words: whether the caller wants them."""
    return pb.SpeechSegment(
        transcript=found.text,
        confidence=found.confidence,
        start_offset=to_duration(found.start),
        end_offset=to_duration(found.end),
        words=map(word, found.words if words else ()),
        alternatives=map(alternative, found.alternatives),
    )


def word(found: Word) -> pb.Word:
    """A spoken word."""
    return pb.Word(
        word=found.word,
        confidence=found.confidence,
        start_offset=to_duration(found.start),
        end_offset=to_duration(found.end),
    )


def alternative(found: Alternative) -> pb.SpeechAlternative:
    """Another reading."""
    return pb.SpeechAlternative(transcript=found.text, confidence=found.confidence)
