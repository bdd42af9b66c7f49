"""`maas speech`: from sound to words and from words to sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from maas.speech.v1 import speech_pb2 as pb
from maas.type.v1.media_pb2 import Audio
from services.cli.client import connect
from services.cli.models import models_table
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Recording, Timeout, write
from services.cli.output import bar, errors, seconds, show, table

app = typer.Typer(no_args_is_help=True, help="From sound to words and from words to sound.")
_SERVICE = "maas.speech.v1.SpeechService"

Language = Annotated[str, typer.Option(metavar="CODE", help="Language, BCP-47; empty leaves it to the model.")]


@app.command()
def recognize(
    recording: Recording,
    *,
    address: Address,
    words: Annotated[bool, typer.Option("--words", help="Tell when each word was spoken.")] = False,
    language: Language = "",
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Write down what a recording says."""
    request = pb.RecognizeRequest(
        audio=Audio(content=recording.read()), language_code=language, enable_word_time_offsets=words, model=model
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/Recognize", request, pb.RecognizeResponse)
        show(answer, spoken_words(answer) if words else segments(answer), as_json=as_json)
        if not answer.transcript:
            errors().print("nothing was said")


@app.command()
def synthesize(
    text: Annotated[str, typer.Argument(help="What to say.")],
    *,
    address: Address,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the WAV file; - is standard output.")
    ] = None,
    rate: Annotated[float, typer.Option(metavar="0.5..2", help="Speed; 0 means 1.")] = 0.0,
    voice: Annotated[str, typer.Option(metavar="NAME", help="Which voice; `maas speech config` lists them.")] = "",
    language: Language = "",
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Speak a text: maas speech synthesize "Good morning" --out hello.wav."""
    if not out and not as_json:
        raise typer.BadParameter("say where the sound goes, for example --out hello.wav (or --json)")
    if as_json and out == Path("-"):
        raise typer.BadParameter("--json and --out - both want standard output; leave one out")
    request = pb.SynthesizeSpeechRequest(
        text=text, language_code=language, voice=voice, speaking_rate=rate, model=model
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/SynthesizeSpeech", request, pb.SynthesizeSpeechResponse)
        if out:
            write(out, answer.audio_content)
        if out != Path("-"):
            show(answer, sound(answer, str(out)), as_json=as_json)


@app.command()
def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the models of this service and their voices."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/GetSpeechConfig", pb.GetSpeechConfigRequest(), pb.GetSpeechConfigResponse)
        show(answer, models_table(answer.models), as_json=as_json)


def segments(answer: pb.RecognizeResponse) -> Table:
    """A line a segment: seconds, confidence, what was said."""
    made = table("start", "end", "confidence", "transcript", right="start end confidence")
    for segment in answer.segments:
        begin, end = seconds(segment.start_offset), seconds(segment.end_offset)
        made.add_row(f"{begin:.2f}", f"{end:.2f}", f"{segment.confidence:.2f}", segment.transcript)
    return made


def spoken_words(answer: pb.RecognizeResponse) -> Table:
    """A line a word: seconds, confidence, the word."""
    made = table("start", "end", "confidence", "", "word", right="start end confidence")
    for word in (word for segment in answer.segments for word in segment.words):
        begin, end = seconds(word.start_offset), seconds(word.end_offset)
        made.add_row(f"{begin:.2f}", f"{end:.2f}", f"{word.confidence:.2f}", bar(word.confidence, 10), word.word)
    return made


def sound(answer: pb.SynthesizeSpeechResponse, path: str) -> Table:
    """One line: where the sound is, how long, by which voice."""
    made = table("file", "seconds", "hertz", "voice", "model", right="seconds hertz")
    made.add_row(path, f"{seconds(answer.duration):.2f}", str(answer.sample_rate_hertz), answer.voice, answer.model)
    return made
