"""`maas speech`: recordings written down."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.table import Table

from maas.speech.v1 import live_pb2, transcript_pb2
from maas.speech.v1 import speech_pb2 as pb
from maas.type.v1.media_pb2 import Audio
from services.cli.client import connect
from services.cli.models.listing import models_table
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Recording, Timeout, write
from services.cli.output import bar, clock, errors, seconds, show, table, to_json
from services.cli.sounds import Channels, Encoding, Raw, RawEncoding, comes_live, open_sound
from services.cli.speech.live import Line, arriving, run

SERVICE = "maas.speech.v1.SpeechService"
# Of a call that lasts as long as its sound does.
DAY_SECONDS = 86_400.0
_MAX_BYTES = 20 * 1024 * 1024


class Captions(StrEnum):
    """Formats of captions."""

    SRT = "srt"
    VTT = "vtt"


Language = Annotated[str, typer.Option(metavar="CODE", help="Language, BCP-47; empty leaves it to the model.")]
Hints = Annotated[
    list[str] | None, typer.Option("--hint", metavar="WORDS", help="A name or word that may occur. Repeat.")
]
Captioned = Annotated[Captions | None, typer.Option("--captions", help="Write captions instead of text.")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there instead of on standard output.")]
Words = Annotated[bool, typer.Option("--words", help="Tell when each word was spoken.")]
Wait = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait so long for a place when the mesh is full.")]


def recognize(
    recording: Recording,
    *,
    address: Address,
    words: Words = False,
    alternatives: Annotated[int, typer.Option(metavar="0..4", help="Other ways to read each sentence.")] = 0,
    captions: Captioned = None,
    out: Out = None,
    language: Language = "",
    hint: Hints = None,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Write down what a recording says, at once and as a table; up to 20 MiB. `transcribe` takes any length."""
    content = recording.read(_MAX_BYTES + 1)
    if not content:
        raise typer.BadParameter("the recording is empty")
    if len(content) > _MAX_BYTES:
        raise typer.BadParameter("the recording has more than 20 MiB; maas speech transcribe takes any length")
    request = pb.RecognizeRequest(
        audio=Audio(content=content),
        language_code=language,
        enable_word_time_offsets=words,
        phrase_hints=hint or [],
        max_alternatives=alternatives,
        caption_format=caption_format(captions),
        model=model,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/Recognize", request, pb.RecognizeResponse)
        if captions and not as_json:
            write(out or Path("-"), answer.captions.encode())
        elif out:
            write(out, f"{to_json(answer) if as_json else answer.transcript}\n".encode())
        else:
            show(answer, spoken_words(answer.segments) if words else segments(answer), as_json=as_json)
        if not answer.transcript:
            errors().print("nothing was said")


def transcribe(
    recording: Recording,
    *,
    address: Address,
    captions: Captioned = None,
    words: Words = False,
    out: Out = None,
    language: Language = "",
    hint: Hints = None,
    raw: Raw = 0,
    encoding: RawEncoding = Encoding.LINEAR16,
    channels: Channels = 1,
    wait: Wait = 0.0,
    model: Model = "",
    timeout: Timeout = DAY_SECONDS,
    as_json: Json = False,
) -> None:
    """Write down a recording of any length, or a pipe; the text appears as it is recognised, a line an utterance.

    A connection that breaks is taken up again: nothing is lost or written twice. With --json a line a message.
    """
    if captions and words:
        raise typer.BadParameter("--captions and --words are two forms of the text; leave one out")
    sound = open_sound(recording, raw, encoding, channels)
    config = live_pb2.StreamingRecognizeConfig(
        format=sound.format,
        language_code=language,
        enable_word_time_offsets=words,
        phrase_hints=hint or [],
        caption_format=caption_format(captions),
        recorded=True,
        model=model,
    )

    async def work(line: Line) -> None:
        begin, said = time.monotonic(), False
        with _written(out) as file, errors().status("listening") as status:
            async for answer in line.recognize(config, arriving(sound.chunks(), line.stop), wait_seconds=wait):
                if as_json:
                    print(to_json(answer, on_one_line=True), file=file, flush=True)
                elif answer.result.is_final:
                    for text in _texts(answer.result, captions, words=words):
                        print(text, file=file, flush=True)
                said = said or bool(answer.result.transcript)
                heard = seconds(answer.acknowledged_offset)
                speed = heard / (time.monotonic() - begin)
                status.update(f"at {clock(heard)}, {speed:.1f} times as fast as it sounds")
        if not said:
            errors().print("nothing was said")
        told = [f"{clock(seconds(answer.end.duration))} of sound in {time.monotonic() - begin:.1f} s", answer.end.model]
        if answer.end.damaged:
            told.append("partly damaged")
        errors().print(" · ".join(told), style="dim")

    run(address, timeout, work, ends=comes_live(recording))


def _texts(result: live_pb2.StreamingRecognitionResult, captions: Captions | None, *, words: bool) -> Iterator[str]:
    if captions:
        if result.captions:
            # With the line breaks of its format.
            yield result.captions.removesuffix("\n")
    elif words:
        yield from (f"{clock(seconds(word.start_offset))}  {word.word}" for word in result.words)
    elif result.transcript:
        yield result.transcript


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    """Where the text goes. A path that cannot be written is wrong usage."""
    if out is None or out == Path("-"):
        yield sys.stdout
        return
    try:
        file = out.open("w", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{out} cannot be written: {error.strerror}") from None
    with file:
        yield file


def caption_format(captions: Captions | None) -> transcript_pb2.CaptionFormat.ValueType:
    """As the contract names it."""
    return transcript_pb2.CaptionFormat.Value(f"CAPTION_FORMAT_{captions.name if captions else 'UNSPECIFIED'}")


def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the models of this service."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/GetSpeechConfig", pb.GetSpeechConfigRequest(), pb.GetSpeechConfigResponse)
        show(answer, models_table(answer.models), as_json=as_json)


def segments(answer: pb.RecognizeResponse) -> Table:
    """A line a segment: seconds, confidence, what was said; below, how else it may be read."""
    made = table("start", "end", "confidence", "transcript", right="start end confidence")
    for segment in answer.segments:
        begin, end = seconds(segment.start_offset), seconds(segment.end_offset)
        made.add_row(f"{begin:.2f}", f"{end:.2f}", f"{segment.confidence:.2f}", segment.transcript)
        for other in segment.alternatives:
            made.add_row("", "", f"{other.confidence:.2f}", f"or: {other.transcript}", style="dim")
    return made


def spoken_words(found: Iterable[transcript_pb2.SpeechSegment]) -> Table:
    """A line a word: seconds, confidence, the word."""
    made = table("start", "end", "confidence", "", "word", right="start end confidence")
    for word in (word for segment in found for word in segment.words):
        begin, end = seconds(word.start_offset), seconds(word.end_offset)
        made.add_row(f"{begin:.2f}", f"{end:.2f}", f"{word.confidence:.2f}", bar(word.confidence, 10), word.word)
    return made
