"""`maas speech command`: which of some commands is spoken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from maas.speech.v1 import command_pb2 as pb
from maas.speech.v1.live_pb2 import SpeechEventType
from maas.type.v1.media_pb2 import Audio
from services.cli.client import connect
from services.cli.options import VIDEO_SECONDS, Address, Json, Model, Recording, Timeout
from services.cli.output import bar, clock, console, seconds, show, table, to_json
from services.cli.sounds import Channels, Encoding, Raw, RawEncoding, Sound, open_sound
from services.cli.speech.grammar import grammar as grammar_of
from services.cli.speech.recognition import SERVICE, Language


def command(
    recording: Recording,
    *,
    address: Address,
    grammar: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The commands, in YAML: commands, and slots.")
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option(
            "--command", metavar="'INTENT: PHRASE'", help="A command, with {slots} and [optional words]. Repeat."
        ),
    ] = None,
    slot: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="What fills a slot: two,three|trey,four or 0..120. Repeat."),
    ] = None,
    wake_word: Annotated[str, typer.Option(metavar="WORD", help="Only after this word.")] = "",
    live: Annotated[bool, typer.Option("--live", help="One command after the other, while the sound comes.")] = False,
    min_confidence: Annotated[float, typer.Option(metavar="0..1", help="Leave out commands below.")] = 0.0,
    language: Language = "",
    raw: Raw = 0,
    encoding: RawEncoding = Encoding.LINEAR16,
    channels: Channels = 1,
    model: Model = "",
    timeout: Timeout = VIDEO_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell which command is spoken: --command 'timer: set a timer for {n} minutes' --slot n=1..60."""
    found = grammar_of(grammar, commands or [], slot or [])
    if live:
        sound = open_sound(recording, raw, encoding, channels)
        config = pb.StreamingRecognizeCommandConfig(
            format=sound.format,
            grammar=found,
            language_code=language,
            min_confidence=min_confidence,
            wake_word=wake_word,
            model=model,
        )
        _listen(sound, config, address, timeout, as_json=as_json)
        return
    if raw:
        raise typer.BadParameter("--raw goes with --live; without it the recording is a file such as WAV")
    request = pb.RecognizeCommandRequest(
        audio=Audio(content=recording.read()),
        grammar=found,
        language_code=language,
        min_confidence=min_confidence,
        wake_word=wake_word,
        model=model,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/RecognizeCommand", request, pb.RecognizeCommandResponse)
        readable = recognized(answer.command) if answer.HasField("command") else why(answer.no_command_reason)
        show(answer, readable, as_json=as_json)


def _listen(
    sound: Sound, config: pb.StreamingRecognizeCommandConfig, address: str, timeout: float, *, as_json: bool
) -> None:
    method = f"{SERVICE}/StreamingRecognizeCommand"
    with (
        connect(address, timeout) as mesh,
        mesh.converse(method, _requests(sound, config), pb.StreamingRecognizeCommandResponse) as answers,
    ):
        for answer in answers:
            if as_json:
                print(to_json(answer, on_one_line=True), flush=True)
            elif words := told(answer):
                console().print(words)


def _requests(
    sound: Sound, config: pb.StreamingRecognizeCommandConfig
) -> Iterator[pb.StreamingRecognizeCommandRequest]:
    yield pb.StreamingRecognizeCommandRequest(config=config)
    for chunk in sound.chunks():
        yield pb.StreamingRecognizeCommandRequest(audio_content=chunk)


def told(answer: pb.StreamingRecognizeCommandResponse) -> str:
    """What an answer says on a line, or "" when it is not worth one."""
    kind = answer.WhichOneof("streaming_response")
    if kind == "command":
        said = answer.command
        filled = " ".join(f"{each.name}={each.value}" for each in said.slots)
        line = f"{clock(seconds(said.start_offset)):>7}  {said.intent}  {filled}".rstrip()
        return f"{line}  ({said.confidence:.2f})"
    if kind == "unrecognized":
        missed = answer.unrecognized
        return f"{clock(seconds(missed.start_offset)):>7}  -- {why(missed.reason)}"
    if kind == "wake_word":
        return f"{clock(seconds(answer.wake_word.offset)):>7}  -- {answer.wake_word.name}"
    if kind == "speech_event" and answer.speech_event.type not in SpeechEventType.values():
        return ""
    return f"{clock(seconds(answer.end.duration)):>7}  end" if kind == "end" else ""


def why(reason: pb.NoCommandReason.ValueType) -> str:
    """Why there is no command."""
    return {
        pb.NO_COMMAND_REASON_NO_SPEECH: "no command: nobody speaks",
        pb.NO_COMMAND_REASON_NOT_RECOGNIZED: "no command: something else is said",
        pb.NO_COMMAND_REASON_NO_WAKE_WORD: "no command: the wake word did not come",
    }.get(reason, "no command")


def recognized(found: pb.RecognizedCommand) -> Table:
    """One line: what is to be done."""
    made = table("intent", "slots", "confidence", "", "heard", "start", "end", right="confidence start end")
    made.add_row(
        found.intent,
        ", ".join(f"{each.name}={each.value}" for each in found.slots),
        f"{found.confidence:.2f}",
        bar(found.confidence, 10),
        found.transcript,
        f"{seconds(found.start_offset):.2f}",
        f"{seconds(found.end_offset):.2f}",
    )
    return made
