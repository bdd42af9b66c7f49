"""A fake of the speech service that hears letters: a byte is a second, a line is an utterance."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration

from maas.speech.v1 import live_pb2 as pb
from maas.speech.v1 import speech_pb2_grpc
from maas.type.v1 import media_pb2
from services.mesh.call import Context

SESSION = "8f14e45f-ceea-467f-9575-1f5bb4d0e3a2"
RAW = media_pb2.AudioStreamFormat(encoding=media_pb2.AUDIO_STREAM_ENCODING_MULAW, sample_rate_hertz=8000)

# What happens before an answer: of which call (from 0), which answer of that call. It may raise, or wait.
Trouble = Callable[[int, int], object]


@dataclass
class Listener(speech_pb2_grpc.SpeechServiceServicer):
    """Writes down lines. It answers interim text at each blank, and a final result at each line's end.

    acknowledges: whether sound without a container is accounted for in bytes. heard: the bytes of all calls, by their
    place. configs: what each call began with. controls: what came in the last call.
    """

    trouble: Trouble = lambda _call, _answer: None
    acknowledges: bool = True
    heard: dict[int, int] = field(default_factory=dict)
    configs: list[pb.StreamingRecognizeConfig] = field(default_factory=list)
    controls: list[pb.StreamControl] = field(default_factory=list)

    async def StreamingRecognize(
        self, requests: AsyncIterator[pb.StreamingRecognizeRequest], context: Context
    ) -> AsyncIterator[pb.StreamingRecognizeResponse]:
        """Answers as the contract says, but for the troubles."""
        call, answers = len(self.configs), 0
        config = (await anext(requests)).config
        self.configs.append(config)
        self.controls = []
        hearing = _Hearing(config, acknowledges=self.acknowledges)
        self._trouble(call, answers)
        async for request in requests:
            if request.HasField("control"):
                self.controls.append(request.control)
                found = hearing.control(request.control)
            else:
                found = hearing.sound(request.audio_content)
                for place, each in enumerate(request.audio_content, hearing.place - len(request.audio_content)):
                    assert self.heard.setdefault(place, each) == each
            for answer in found:
                yield answer
                answers += 1
                self._trouble(call, answers)
        for answer in hearing.end():
            yield answer

    def _trouble(self, call: int, answers: int) -> None:
        problem = self.trouble(call, answers)
        if isinstance(problem, Exception):
            raise problem


class _Hearing:
    def __init__(self, config: pb.StreamingRecognizeConfig, *, acknowledges: bool) -> None:
        resume = config.resume
        self._acknowledges = acknowledges and config.format.encoding
        self._language = config.language_code or resume.language_code
        self.place = resume.acknowledged_bytes
        self._offset = self._known = resume.acknowledged_offset.seconds
        if not config.format.encoding:
            self._offset = 0
        self._index = resume.final_results
        self._line, self._begin = "", 0
        # A call that goes on does not know whether the turn was told to be over.
        self._turn_open = resume.final_results > 0
        self._accounted = self._known, resume.acknowledged_bytes

    def sound(self, content: bytes) -> list[pb.StreamingRecognizeResponse]:
        found: list[pb.StreamingRecognizeResponse] = []
        for byte in content:
            if self._turn_open and self._offset >= self._known:
                found += self._turn()
            self.place, self._offset = self.place + 1, self._offset + 1
            if self._offset <= self._known:
                continue
            letter = chr(byte)
            if letter == "\n":
                found += self._final()
                continue
            if not self._line:
                self._begin = self._offset
                found.append(self._event(pb.SPEECH_EVENT_TYPE_SPEECH_START))
            self._line += letter
            if letter == " ":
                found.append(self._answer(result=pb.StreamingRecognitionResult(transcript=self._line)))
        return found

    def control(self, control: pb.StreamControl) -> list[pb.StreamingRecognizeResponse]:
        found: list[pb.StreamingRecognizeResponse] = []
        if control.HasField("discard_utterance"):
            self._line = ""
        elif self._line:
            found = self._final()
        elif self._turn_open or control.HasField("end_utterance"):
            found = self._turn()
        if control.HasField("language_code"):
            self._language = control.language_code
        return found

    def end(self) -> list[pb.StreamingRecognizeResponse]:
        last = self._final() if self._line else self._turn() if self._turn_open else []
        end = pb.StreamingRecognizeEnd(final_results=self._index, duration=Duration(seconds=self._offset))
        return [*last, self._answer(end=end)]

    def _final(self) -> list[pb.StreamingRecognizeResponse]:
        ended = self._event(pb.SPEECH_EVENT_TYPE_SPEECH_END)
        result = pb.StreamingRecognitionResult(
            transcript=self._line,
            is_final=True,
            index=self._index,
            language_code=self._language or "en",
            language_confidence=1,
            result_start_offset=Duration(seconds=self._begin),
        )
        self._index, self._line = self._index + 1, ""
        self._accounted = self._offset, self.place if self._acknowledges else 0
        return [ended, self._answer(result=result), *self._turn()]

    def _turn(self) -> list[pb.StreamingRecognizeResponse]:
        self._turn_open = False
        return [self._event(pb.SPEECH_EVENT_TYPE_END_OF_TURN)]

    def _event(self, kind: pb.SpeechEventType.ValueType) -> pb.StreamingRecognizeResponse:
        return self._answer(speech_event=pb.SpeechEvent(type=kind, offset=Duration(seconds=self._offset)))

    def _answer(self, **kind: object) -> pb.StreamingRecognizeResponse:
        answer = pb.StreamingRecognizeResponse(session_id=SESSION, acknowledged_bytes=self._accounted[1], **kind)
        answer.acknowledged_offset.seconds = self._accounted[0]
        return answer
