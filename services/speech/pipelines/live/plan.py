"""What a live stream is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.mesh.models import ModelCard
from services.mesh.ports import AudioFormat
from services.speech.pipelines.live.endpoints import Rules
from services.speech.pipelines.recognition.captions import CaptionFormat
from services.speech.pipelines.recognition.transcriber import Word


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a broken transcript goes on: as the contract's StreamResumption."""

    session_id: str
    acknowledged_bytes: int
    acknowledged_seconds: float
    final_results: int
    language: str
    cues: int


@dataclass(frozen=True, slots=True)
class LivePlan:
    """How a stream is heard. language: one of the model's, "" to find out. captions: None for none."""

    card: ModelCard
    audio_format: AudioFormat
    rules: Rules
    session_id: str
    language: str = ""
    interim_results: bool = False
    word_times: bool = False
    hints: Sequence[str] = ()
    captions: CaptionFormat | None = None
    recorded: bool = False
    resume: Resumption | None = None


@dataclass(frozen=True, slots=True)
class EndUtterance:
    """Ends the utterance, and the turn."""


@dataclass(frozen=True, slots=True)
class DiscardUtterance:
    """Throws away the utterance that has begun."""


@dataclass(frozen=True, slots=True)
class ChangeLanguage:
    """Of what follows; "" for finding out."""

    language: str


Control = EndUtterance | DiscardUtterance | ChangeLanguage


class Event(Enum):
    """What happens in the sound."""

    SPEECH_START = 1
    SPEECH_END = 2
    END_OF_TURN = 3


@dataclass(frozen=True, slots=True)
class SpeechEvent:
    """When it happens, in seconds from the beginning of the transcript."""

    type: Event
    offset: float


@dataclass(frozen=True, slots=True)
class Result:
    """What was said in one utterance, so far or finally; times in seconds from the beginning of the transcript."""

    transcript: str
    is_final: bool
    stability: float
    stable_transcript: str
    begin: float
    end: float
    index: int
    language: str
    language_probability: float
    confidence: float = 0.0
    words: tuple[Word, ...] = ()
    captions: str = ""
    cues: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """The last answer."""

    duration: float
    final_results: int
    damaged: bool


Body = Result | SpeechEvent | End | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and how far the sound is accounted for by then. body: None to tell only that."""

    body: Body
    acknowledged_bytes: int
    acknowledged_seconds: float
    lag: float
