"""One command in a recording."""

from __future__ import annotations

from dataclasses import replace

from services.mesh.deadline import Deadline
from services.speech.pipelines.commands.plan import NoCommand
from services.speech.pipelines.commands.recognizer import (
    SAMPLE_RATE_HERTZ,
    CommandRecognizer,
    Commands,
    Recognized,
)
from services.speech.pipelines.commands.speech import Recording
from services.speech.pipelines.commands.wake import WINDOW, WakeWordListener

# Beginnings of windows; a word that lies across the end of one is whole in the next.
_STEP = WINDOW // 2


async def command_in(
    recording: Recording,
    commands: Commands,
    recognizer: CommandRecognizer,
    wake: WakeWordListener | None,
    deadline: Deadline,
) -> Recognized | NoCommand:
    """The command that the recording speaks, after the wake word if there must be one, or why there is none."""
    first = 0
    if wake is not None:
        woken = await _woken(recording, wake, deadline)
        if woken is None:
            return NoCommand.NO_WAKE_WORD if recording.spoken() else NoCommand.NO_SPEECH
        first = woken
    span = recording.spoken(first)
    if span is None:
        return NoCommand.NO_SPEECH
    begin, end = span
    found = await recognizer.recognize(commands, recording.samples[begin:end], deadline)
    if found is None:
        return NoCommand.NOT_RECOGNIZED
    seconds = begin / SAMPLE_RATE_HERTZ
    return replace(found, start=found.start + seconds, end=found.end + seconds)


async def _woken(recording: Recording, wake: WakeWordListener, deadline: Deadline) -> int | None:
    """Where the wake word ends."""
    for begin in range(0, max(1, len(recording.samples) - _STEP), _STEP):
        found = await wake.search(recording.samples[begin : begin + WINDOW], begin, deadline)
        if found:
            return found[0]
    return None
