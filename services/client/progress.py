"""How far a transcript has come, over all its calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from maas.speech.v1 import live_pb2 as pb
from services.client.kept import Kept

_AUTO = "auto"
# As sure of a language as the service must be before it takes it for that of the whole stream.
_SURE = 0.7
# Heard again from elsewhere, speech may seem to begin or end so much earlier or later.
_SAME_SECONDS = 0.25


@dataclass
class Progress:
    """What the answers have said so far, and the sound that they leave to be kept."""

    config: pb.StreamingRecognizeConfig
    kept: Kept
    calls: int = 0
    _resume: pb.StreamResumption = field(init=False)
    # When speech was last told to begin, and to end, from the beginning of the transcript.
    _events: dict[int, float] = field(default_factory=dict)
    _turn_over: bool = False
    # Whether this call may tell again that the turn is over: it does not know that the one before did.
    _repeats_turn: bool = False

    def __post_init__(self) -> None:
        self._resume = pb.StreamResumption()
        self._resume.CopyFrom(self.config.resume)

    @property
    def has_begun(self) -> bool:
        """Whether anything was answered."""
        return bool(self._resume.session_id)

    @property
    def can_go_on(self) -> bool:
        """Whether all sound from where another call would begin is still here."""
        return self.kept.has(self._resume.acknowledged_bytes)

    def next_call(self) -> pb.StreamingRecognizeConfig:
        """The configuration of the next call, the first or one that goes on."""
        self.calls += 1
        self._repeats_turn = self._turn_over
        config = pb.StreamingRecognizeConfig()
        config.CopyFrom(self.config)
        if self.has_begun:
            config.resume.CopyFrom(self._resume)
            if config.language_code:
                config.resume.language_code = ""
        return config

    def take(self, answer: pb.StreamingRecognizeResponse) -> tuple[bool, bool]:
        """Note what an answer says. Returns whether it is news to the caller, and whether it accounts for more."""
        resume, result = self._resume, answer.result
        before = resume.SerializeToString()
        resume.session_id = answer.session_id or resume.session_id
        resume.acknowledged_bytes = max(resume.acknowledged_bytes, answer.acknowledged_bytes)
        if _seconds(answer.acknowledged_offset) > _seconds(resume.acknowledged_offset):
            resume.acknowledged_offset.CopyFrom(answer.acknowledged_offset)
        if result.is_final:
            resume.final_results = result.index + 1
            resume.cues = max(resume.cues, result.cues)
            if result.transcript and result.language_confidence >= _SURE:
                resume.language_code = result.language_code
            self._turn_over = self._repeats_turn = False
        is_news = not answer.HasField("speech_event") or self._is_new(answer.speech_event)
        self._let_go()
        return is_news, resume.SerializeToString() != before

    def _let_go(self) -> None:
        for control in self.kept.acknowledge(self._resume.acknowledged_bytes, turn_over=self._turn_over):
            if control.HasField("language_code"):
                # It has to be said to the next call too, which will not see the control.
                self.config.language_code = "" if control.language_code == _AUTO else control.language_code
                self._resume.language_code = ""

    def _is_new(self, event: pb.SpeechEvent) -> bool:
        """Whether an event was not told before. A call that goes on hears the last utterance's beginning again."""
        if event.type == pb.SPEECH_EVENT_TYPE_END_OF_TURN:
            repeated, self._repeats_turn, self._turn_over = self._repeats_turn, False, True
            return not repeated
        offset, last = _seconds(event.offset), self._events.get(event.type)
        if self.calls > 1 and last is not None and offset <= last + _SAME_SECONDS:
            return False
        self._events[event.type] = offset
        return True


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
