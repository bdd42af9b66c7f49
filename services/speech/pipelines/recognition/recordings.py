"""Writes down whole recordings: cuts them at silences, reads the pieces in order, finds the language out once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import AudioFormat, Preprocessor, SoundPiece
from services.speech.pipelines.recognition.pieces import Cutter, Piece
from services.speech.pipelines.recognition.transcriber import SAMPLE_RATE_HERTZ, Segment, Transcriber, Transcript
from services.speech.pipelines.schedule import Priority, Schedule

MAX_SECONDS = 4 * 3600.0
_CHUNK_BYTES = 256 * 1024
# The language is that of the first pieces whose probabilities, added up, leave so little doubt, or of this many.
_SURE = 0.8
_UNSURE_PIECES = 3
# A piece of this length with other readings is a sentence or two: those of a longer one would differ in a word.
_PIECE_SECONDS, _PIECE_SECONDS_WITH_ALTERNATIVES = 28.0, 10.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a recording. language: one of the card's, or "" to find out."""

    card: ModelCard
    language: str = ""
    word_times: bool = False
    hints: Sequence[str] = ()
    alternatives: int = 0


class RecordingRecognizer:
    """Reads one piece of a recording after the other, when live speech leaves time for it."""

    def __init__(self, transcriber: Transcriber, preprocessor: Preprocessor, schedule: Schedule) -> None:
        """schedule: gives each piece its turn."""
        self._transcriber = transcriber
        self._preprocessor = preprocessor
        self._schedule = schedule

    async def recognize(self, content: bytes, wishes: Wishes, *, field: str, deadline: Deadline) -> Transcript:
        """What a recording says; times from its beginning. No speech: no segments, and no language if none was given.

        Holds the recording and a minute of its samples. field: its name in errors. Raises InvalidArgument when it
        cannot be decoded or lasts too long, and what the model raises.
        """
        reading = _Reading(self._transcriber, self._schedule, wishes, deadline)
        duration = 0.0
        sound = self._preprocessor.stream_audio(
            _chunks(content),
            AudioFormat(),
            sample_rate_hertz=SAMPLE_RATE_HERTZ,
            measure_speech=True,
            field=field,
            deadline=deadline,
        )
        cutter = Cutter(_PIECE_SECONDS_WITH_ALTERNATIVES if wishes.alternatives else _PIECE_SECONDS)
        async with aclosing(sound):
            async for event in sound:
                if isinstance(event, SoundPiece):
                    duration = event.offset_seconds + len(event.samples) / SAMPLE_RATE_HERTZ
                    for piece in cutter.take(event.samples, event.speech):
                        await reading.read(piece)
                else:
                    duration = event.duration_seconds
                if duration > MAX_SECONDS:
                    raise errors.InvalidArgument.field(
                        field, f"lasts more than {MAX_SECONDS / 3600:g} hours; send it in parts, or as a stream"
                    )
        for piece in cutter.rest():
            await reading.read(piece)
        return await reading.finish(duration)


class _Reading:
    """One recording's transcript as it grows."""

    def __init__(self, transcriber: Transcriber, schedule: Schedule, wishes: Wishes, deadline: Deadline) -> None:
        self._transcriber = transcriber
        self._schedule = schedule
        self._wishes = wishes
        self._deadline = deadline
        self._language, self._probability = wishes.language, 1.0
        self._segments: list[Segment] = []
        # Pieces that were read before the language was sure, and how each was read.
        self._unsure: list[tuple[Piece, Transcript]] = []

    async def read(self, piece: Piece) -> None:
        """Read a piece, in the language if it is known by now."""
        found = await self._transcribe(piece.samples, self._language)
        if self._language:
            self._keep(piece, found)
        elif found.segments:
            self._unsure.append((piece, found))
            if self._vote()[1] >= _SURE or len(self._unsure) == _UNSURE_PIECES:
                await self._settle()

    async def finish(self, duration: float) -> Transcript:
        """All of it."""
        if self._unsure:
            await self._settle()
        if not self._segments and not self._wishes.language:
            self._language, self._probability = "", 0.0
        return Transcript(
            language=self._language,
            language_probability=self._probability,
            duration=duration,
            segments=tuple(self._segments),
        )

    async def _settle(self) -> None:
        """Decide on the language, and read what was read in another one again."""
        self._language, self._probability = self._vote()
        unsure, self._unsure = self._unsure, []
        for piece, found in unsure:
            right = found.language == self._language
            self._keep(piece, found if right else await self._transcribe(piece.samples, self._language))

    def _vote(self) -> tuple[str, float]:
        """The likeliest language of the pieces together, longer ones counting more, and its share."""
        votes: dict[str, float] = {}
        for piece, found in self._unsure:
            each = found.language_probabilities or {found.language: found.language_probability}
            for language, probability in each.items():
                votes[language] = votes.get(language, 0.0) + probability * len(piece.samples)
        best = max(votes, key=lambda language: votes[language])
        return best, min(1.0, votes[best] / sum(len(piece.samples) for piece, _ in self._unsure))

    def _keep(self, piece: Piece, found: Transcript) -> None:
        self._segments += [segment.later(piece.offset_seconds) for segment in found.segments]

    async def _transcribe(self, samples: NDArray[np.float32], language: str) -> Transcript:
        transcribe = partial(
            self._transcriber.transcribe,
            samples,
            self._wishes.card,
            language=language,
            word_times=self._wishes.word_times,
            hints=self._wishes.hints,
            alternatives=self._wishes.alternatives,
            deadline=self._deadline,
        )
        return await self._schedule.run(self, Priority.RECORDED, transcribe)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    view = memoryview(content)
    for begin in range(0, len(content), _CHUNK_BYTES):
        yield bytes(view[begin : begin + _CHUNK_BYTES])
