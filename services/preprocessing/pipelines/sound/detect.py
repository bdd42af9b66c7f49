"""Tells when somebody speaks in a stream of sound."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.mesh import errors
from services.mesh.ports import SoundEvent, SoundPiece
from services.preprocessing.pipelines.sound.segments import Detection, Segmenter, Speech, SpeechStart


@dataclass(frozen=True, slots=True)
class DetectEnd:
    """The end of a stream: its length, that of all speech in it, and the model that answered."""

    duration_seconds: float
    speech_seconds: float
    model: str


DetectEvent = SpeechStart | Speech | DetectEnd


def check(wanted: Detection) -> Detection:
    """The same. Raises InvalidArgument for a threshold out of bounds."""
    if not 0 < wanted.threshold < 1:
        raise errors.InvalidArgument.field(
            "config.threshold", f"takes a number above 0 and below 1, got {wanted.threshold:g}"
        )
    return wanted


async def detect(
    events: AsyncGenerator[SoundEvent, None], wanted: Detection, model: str
) -> AsyncGenerator[DetectEvent, None]:
    """The pieces of speech of a stream, DetectEnd last. events: with speech measured, by that model."""
    segmenter = Segmenter(wanted)
    speech_seconds = 0.0
    async for event in events:
        if isinstance(event, SoundPiece):
            told = segmenter.feed(event.speech)
        else:
            told = segmenter.finish(event.duration_seconds)
        for each in told:
            if isinstance(each, Speech):
                speech_seconds += each.end_seconds - each.start_seconds
            yield each
        if not isinstance(event, SoundPiece):
            yield DetectEnd(event.duration_seconds, speech_seconds, model)
