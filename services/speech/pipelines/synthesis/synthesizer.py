"""Speaks texts: a whole one, or one that is still being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.ports import Inference, Preprocessor
from services.mesh.timing import Stage, stage
from services.speech.pipelines.synthesis.ahead import ahead
from services.speech.pipelines.synthesis.encoding import Encoder, Output
from services.speech.pipelines.synthesis.joining import silence, trimmed
from services.speech.pipelines.synthesis.script import Script
from services.speech.pipelines.synthesis.sentences import SentenceCutter
from services.speech.pipelines.synthesis.speech_text import plain, render
from services.speech.pipelines.synthesis.steps import Step, steps_of_items, steps_of_sentence
from services.speech.pipelines.synthesis.voices import Speaker
from services.speech.pipelines.synthesis.writing import foreign_scripts, is_speakable, without_foreign

SLOWEST, FASTEST = 0.5, 2.0
# Below the largest message that a service sends.
MAX_AUDIO_BYTES = 48 * 1024 * 1024
# Pieces of sound that wait until they are sent.
_LOOKAHEAD = 1
_TOO_LONG = "sounds too long for one answer; use StreamingSynthesize, a compressed encoding or a shorter text"


@dataclass(frozen=True, slots=True)
class Speech:
    """A spoken text, encoded."""

    content: bytes
    sample_rate_hertz: int
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a part of a long one, where it sounds, and the next bytes of the file."""

    text: str
    start_seconds: float
    end_seconds: float
    content: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The last bytes of the file, and what it was."""

    speaker: Speaker
    content: bytes
    sample_rate_hertz: int
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class _Sound:
    """What became of a step. samples: of the spoken part, float32[T]."""

    step: Step
    speaker: Speaker
    samples: NDArray[np.float32]


def speed(speaking_rate: float) -> float:
    """A request's speaking rate, 0 meaning 1. Raises InvalidArgument outside the limits, NaN included."""
    if not (speaking_rate == 0 or SLOWEST <= speaking_rate <= FASTEST):
        raise errors.InvalidArgument.field("speaking_rate", f"takes {SLOWEST:g} to {FASTEST:g}, got {speaking_rate:g}")
    return speaking_rate or 1.0


class Synthesizer:
    """Runs models with inputs text, voice, language bytes[1], speaking_rate float32[1]; output audio float32[T]."""

    def __init__(self, inference: Inference, preprocessor: Preprocessor) -> None:
        self._inference = inference
        self._preprocessor = preprocessor

    async def speak(
        self, script: Script, speaker: Speaker, *, speaking_rate: float, output: Output, deadline: Deadline
    ) -> Speech:
        """A whole text. speaking_rate: 1 is natural.

        Raises InvalidArgument for a text without anything to say, or with what the voice cannot say.
        """
        card = speaker.voice.card
        _require_sayable(script, speaker)
        items = render(script, speaker.language)
        steps = await steps_of_items(items, speaker.language, card.preprocess, self._preprocessor, deadline)
        if not any(step.text for step in steps):
            raise errors.InvalidArgument.field(script.field, "holds nothing that can be spoken")
        encoder = Encoder(output, speaker.voice.sample_rate_hertz, whole=True)
        for step in steps:
            sound = await self._say(step, speaker, speaking_rate, deadline)
            await _encoded(encoder, _with_pause(sound))
            # Two bytes a sample, whatever the encoding: it has to be in memory until the end.
            if 2 * encoder.samples_written > MAX_AUDIO_BYTES:
                raise errors.InvalidArgument.field(script.field, _TOO_LONG)
        content = await _encoded(encoder, np.empty(0, np.float32), last=True)
        return Speech(content, encoder.sample_rate_hertz, encoder.samples_written / encoder.sample_rate_hertz)

    async def stream(
        self,
        texts: AsyncGenerator[str | None, None],
        choose: Callable[[str | None], Speaker | None],
        *,
        speaking_rate: float,
        output: Output,
        deadline: Deadline,
    ) -> AsyncGenerator[Piece | End, None]:
        """A text that comes in pieces; None among them speaks what has come. Closing it ends the work.

        The sound of a sentence is there before the next one has come, which is synthesised while this one is sent.
        choose: who speaks, given None, or the first sentence when that gave None. Words in a script that the voice does
        not know are passed over, since a text that is being written cannot be corrected; the pieces tell what was said.
        Raises InvalidArgument when there is nothing to say in the whole text.
        """
        encoder: Encoder | None = None
        seconds = 0.0
        speaker: Speaker | None = None
        async with aclosing(ahead(self._sounds(texts, choose, speaking_rate, deadline), _LOOKAHEAD)) as sounds:
            async for sound in sounds:
                speaker, hertz = sound.speaker, sound.speaker.voice.sample_rate_hertz
                encoder = encoder or Encoder(output, hertz, whole=False)
                samples = _with_pause(sound)
                content = await _encoded(encoder, samples)
                yield Piece(sound.step.text, seconds, seconds + len(sound.samples) / hertz, content)
                seconds += len(samples) / hertz
        if encoder is None or speaker is None:
            raise errors.InvalidArgument.field("text", "holds nothing that can be spoken")
        content = await _encoded(encoder, np.empty(0, np.float32), last=True)
        rate = encoder.sample_rate_hertz
        yield End(speaker, content, rate, encoder.samples_written / rate)

    async def _sounds(
        self,
        texts: AsyncGenerator[str | None, None],
        choose: Callable[[str | None], Speaker | None],
        speaking_rate: float,
        deadline: Deadline,
    ) -> AsyncGenerator[_Sound, None]:
        speaker = choose(None)
        begun = False
        cutter = SentenceCutter(self._preprocessor, speaker.language if speaker else "")
        async with aclosing(texts):
            async for sentence in _sentences(cutter, texts, deadline):
                speaker = speaker or choose(sentence)
                if speaker is None or not is_speakable(sentence):
                    continue
                preprocess = speaker.voice.card.preprocess
                text = without_foreign(plain(sentence, speaker.language), preprocess.get("scripts"))
                for step in steps_of_sentence(text, 1.0, preprocess, quick=not begun):
                    begun = True
                    yield await self._say(step, speaker, speaking_rate, deadline)

    async def _say(self, step: Step, speaker: Speaker, speaking_rate: float, deadline: Deadline) -> _Sound:
        voice = speaker.voice
        if not step.text:
            return _Sound(step, speaker, np.empty(0, np.float32))
        rate = min(max(step.rate * speaking_rate, SLOWEST), FASTEST)
        arrays = await self._inference.infer(
            voice.card.name,
            {
                "text": np.array([step.text.encode()], dtype=object),
                "voice": np.array([voice.name.encode()], dtype=object),
                "language": np.array([speaker.language.encode()], dtype=object),
                "speaking_rate": np.array([rate], dtype=np.float32),
            },
            ["audio"],
            deadline=deadline,
        )
        samples = await asyncio.to_thread(trimmed, arrays["audio"].reshape(-1), voice.sample_rate_hertz)
        return _Sound(step, speaker, samples * np.float32(voice.gain))


async def _sentences(
    cutter: SentenceCutter, texts: AsyncIterator[str | None], deadline: Deadline
) -> AsyncIterator[str]:
    async for text in texts:
        for sentence in await (cutter.flush(deadline) if text is None else cutter.add(text, deadline)):
            yield sentence
    for sentence in await cutter.flush(deadline):
        yield sentence


async def _encoded(encoder: Encoder, samples: NDArray[np.float32], *, last: bool = False) -> bytes:
    """The samples in the form wanted, beside the event loop. last: nothing follows."""
    with stage(Stage.ENCODE):
        return await asyncio.to_thread(encoder.encode, samples, last=last)


def _require_sayable(script: Script, speaker: Speaker) -> None:
    """Raises InvalidArgument naming the scripts that the voice cannot say, when the text has words in them."""
    card = speaker.voice.card
    text = script.text
    if not is_speakable(text):
        raise errors.InvalidArgument.field(script.field, "holds nothing that can be spoken")
    scripts = card.preprocess.get("scripts")
    if scripts and (foreign := foreign_scripts(text, scripts)):
        raise errors.InvalidArgument.field(
            script.field,
            f"has words in {', '.join(foreign)} script, which voice {speaker.voice.name!r} cannot say;"
            f" model {card.name!r} speaks: {', '.join(card.languages)}",
        )


def _with_pause(sound: _Sound) -> NDArray[np.float32]:
    """The sound and the silence after it."""
    return np.concatenate([sound.samples, silence(sound.step.pause, sound.speaker.voice.sample_rate_hertz)])
