"""What a stream of commands is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from services.mesh.ports import AudioFormat
from services.speech.pipelines.commands.recognizer import Commands, Recognized
from services.speech.pipelines.commands.wake import WakeWord


class NoCommand(Enum):
    """Why there is no command."""

    NO_SPEECH = auto()
    NOT_RECOGNIZED = auto()
    NO_WAKE_WORD = auto()


@dataclass(frozen=True)
class CommandPlan:
    """What is listened for. utterance_silence: seconds after which a command has ended."""

    commands: Commands
    audio_format: AudioFormat
    utterance_silence: float
    wake_word: WakeWord | None


@dataclass(frozen=True)
class Unrecognized:
    """An utterance that is no command; times in seconds."""

    start: float
    end: float
    reason: NoCommand


@dataclass(frozen=True)
class Woken:
    """The wake word was said, and ended then."""

    offset: float


@dataclass(frozen=True)
class Speech:
    """Somebody begins to speak, or stops."""

    begins: bool
    offset: float


@dataclass(frozen=True)
class End:
    """The end of the sound, and its length in seconds."""

    duration: float


Answer = Recognized | Unrecognized | Woken | Speech | End
