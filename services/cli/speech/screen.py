"""Speech on a screen: what is final as lines, and below them what is being said."""

from __future__ import annotations

from typing import Self

from google.protobuf.duration_pb2 import Duration
from rich.console import Console
from rich.live import Live
from rich.text import Text

from maas.speech.v1 import live_pb2 as pb
from services.cli.output import clock, seconds

# Below, nobody notices.
_LATE_SECONDS = 2.0


class Screen:
    """Shows answers as they come; only a terminal gets the line that changes."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._live = Live(console=out, auto_refresh=False, transient=True) if out.is_terminal else None
        # What is being said, and whether more of it comes: speech may go on before what was said is final.
        self._changing = Text()
        self._speaking = False

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, answer: pb.StreamingRecognizeResponse) -> None:
        """What an answer brings."""
        result, event = answer.result, answer.speech_event
        if result.is_final:
            self._changing = Text()
            self._line(result.result_start_offset, Text(result.transcript))
        elif result.transcript:
            self._changing = _so_far(result)
        elif event.type == pb.SPEECH_EVENT_TYPE_END_OF_TURN:
            self._line(event.offset, Text("-- end of turn", "dim"))
        elif event.type:
            self._speaking = event.type == pb.SPEECH_EVENT_TYPE_SPEECH_START
        if self._live:
            below = self._changing.copy()
            if self._speaking:
                below.append(" ...", "dim")
            if (late := seconds(answer.lag)) > _LATE_SECONDS:
                below.append(f"  ({late:.1f} s behind)", "yellow")
            self._live.update(below, refresh=True)

    def _line(self, offset: Duration, text: Text) -> None:
        if not text.plain:
            return
        told = Text.assemble((f"{clock(seconds(offset)):>7}  ", "cyan"), text)
        (self._live.console if self._live else self._out).print(told)


def _so_far(result: pb.StreamingRecognitionResult) -> Text:
    """Words that two readings agree on are firm, the others dim."""
    stable = result.stable_transcript
    firm = stable if result.transcript.startswith(stable) else ""
    return Text.assemble(
        (f"{clock(seconds(result.result_start_offset)):>7}  ", "cyan"),
        (firm, "bold"),
        (result.transcript[len(firm) :], "dim"),
    )
