"""What is synthesised at once, and the silence after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.mesh.deadline import Deadline
from services.mesh.ports import Preprocessor
from services.speech.pipelines.synthesis.script import Boundary, Pause
from services.speech.pipelines.synthesis.sentences import SentenceCutter, clauses
from services.speech.pipelines.synthesis.speech_text import Item
from services.speech.pipelines.synthesis.writing import is_speakable

# Silence at speed 1, between what the models say at once.
CLAUSE_GAP, SENTENCE_GAP, PARAGRAPH_GAP = 0.12, 0.35, 0.7
# Between two speeds within a sentence.
_CHANGE_GAP = 0.05
_LONGEST_PIECE = 400


@dataclass(frozen=True, slots=True)
class Step:
    """Text for one inference, "" for none, at a speed; and the seconds of silence after it."""

    text: str
    rate: float
    pause: float


def steps_of_sentence(sentence: str, rate: float, preprocess: Mapping[str, Any], *, quick: bool) -> list[Step]:
    """The parts of a sentence that a model can read at once. quick: the first one short, where the model says so."""
    longest = int(preprocess.get("longest_piece", _LONGEST_PIECE))
    first = int(preprocess.get("first_piece", longest)) if quick else longest
    parts = [part for part in clauses(sentence, first=first, longest=longest) if is_speakable(part)]
    if not parts:
        return []
    gaps = [CLAUSE_GAP] * (len(parts) - 1) + [SENTENCE_GAP]
    return [Step(part, rate, gap / rate) for part, gap in zip(parts, gaps, strict=True)]


async def steps_of_items(
    items: Sequence[Item], language: str, preprocess: Mapping[str, Any], preprocessor: Preprocessor, deadline: Deadline
) -> list[Step]:
    """All steps of a script. A pause that it asks for takes the place of the one that would be there."""
    steps: list[Step] = []
    for item in items:
        if isinstance(item, Pause):
            if steps and steps[-1].text:
                steps[-1] = Step(steps[-1].text, steps[-1].rate, item.seconds)
            else:
                steps.append(Step("", 1.0, item.seconds))
        elif isinstance(item, Boundary):
            if steps and steps[-1].text:
                pause = (PARAGRAPH_GAP if item.paragraph else SENTENCE_GAP) / steps[-1].rate
                steps[-1] = Step(steps[-1].text, steps[-1].rate, max(steps[-1].pause, pause))
        else:
            cutter = SentenceCutter(preprocessor, language)
            sentences = [*await cutter.add(item.text, deadline), *await cutter.flush(deadline)]
            found = [step for each in sentences for step in steps_of_sentence(each, item.rate, preprocess, quick=False)]
            if found and found[-1].text[-1] not in ".!?…。！？":
                found[-1] = Step(found[-1].text, found[-1].rate, _CHANGE_GAP)
            steps += found
    # Only silence that was asked for is after the last word.
    if steps and steps[-1].text and not (items and isinstance(items[-1], Pause)):
        steps[-1] = Step(steps[-1].text, steps[-1].rate, 0.0)
    return steps
