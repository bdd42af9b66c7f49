"""`maas speech speak`: text spoken, also while it is being written."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from maas.speech.v1 import synthesis_pb2 as pb
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Timeout, write
from services.cli.output import clock, errors, seconds, show, table, to_json
from services.cli.sounds import close_wav, opened
from services.cli.speech.recognition import SERVICE, Language
from services.cli.texts import read_file

_PIECE_BYTES = 4096
# Of a text that somebody may still be writing.
_WRITING_SECONDS = 3600.0


class Encoding(StrEnum):
    """How sound is stored."""

    WAV = "wav"
    LINEAR16 = "linear16"
    FLAC = "flac"
    OGG_OPUS = "ogg-opus"
    MP3 = "mp3"
    MULAW = "mulaw"
    ALAW = "alaw"


_SUFFIXES = {
    ".wav": Encoding.WAV,
    ".flac": Encoding.FLAC,
    ".ogg": Encoding.OGG_OPUS,
    ".opus": Encoding.OGG_OPUS,
    ".mp3": Encoding.MP3,
    ".raw": Encoding.LINEAR16,
    ".pcm": Encoding.LINEAR16,
    ".ulaw": Encoding.MULAW,
    ".alaw": Encoding.ALAW,
}


def speak(
    text: Annotated[str, typer.Argument(help="What to say; - reads standard input, and speaks while it comes.")],
    *,
    address: Address,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the sound is written; - is standard output.")
    ] = None,
    ssml: Annotated[bool, typer.Option("--ssml", help="The text is SSML.")] = False,
    voice: Annotated[str, typer.Option(metavar="NAME", help="Which voice; `maas speech voices` lists them.")] = "",
    rate: Annotated[float, typer.Option(metavar="0.5..2", help="Speed; 0 means 1.")] = 0.0,
    gain: Annotated[float, typer.Option(metavar="DECIBEL", help="How much louder, -40 to 16.")] = 0.0,
    encoding: Annotated[
        Encoding | None, typer.Option(help="How the sound is stored; without it, as the file's name says.")
    ] = None,
    hertz: Annotated[int, typer.Option(metavar="HERTZ", help="Samples a second; 0 leaves it to the voice.")] = 0,
    language: Language = "",
    model: Model = "",
    timeout: Timeout = _WRITING_SECONDS,
    as_json: Json = False,
) -> None:
    """Speak a text: maas speech speak "Good morning" --out hello.wav."""
    if not out and not as_json:
        raise typer.BadParameter("say where the sound goes, for example --out hello.wav (or --json)")
    if as_json and out == Path("-"):
        raise typer.BadParameter("--json and --out - both want standard output; leave one out")
    # The same fields in both messages.
    common: dict[str, Any] = {
        "language_code": language,
        "voice": voice,
        "speaking_rate": rate,
        "audio_encoding": pb.AudioEncoding.Value(f"AUDIO_ENCODING_{_stored(encoding, out).name}"),
        "sample_rate_hertz": hertz,
        "volume_gain_db": gain,
        "model": model,
    }
    if text == "-" and not ssml:
        _speak_while_written(pb.StreamingSynthesizeConfig(**common), address, timeout, out, as_json=as_json)
        return
    said = {"ssml" if ssml else "text": read_file("-") if text == "-" else text}
    request = pb.SynthesizeSpeechRequest(**common | said)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/SynthesizeSpeech", request, pb.SynthesizeSpeechResponse)
        if out:
            write(out, answer.audio_content)
        if out != Path("-"):
            show(answer, sound(answer, str(out)), as_json=as_json)


def _stored(encoding: Encoding | None, out: Path | None) -> Encoding:
    """As typed, or as the file's name says. A name that says nothing is wrong usage."""
    if encoding or out is None or out == Path("-"):
        return encoding or Encoding.WAV
    if out.suffix.lower() not in _SUFFIXES:
        known = " ".join(_SUFFIXES)
        raise typer.BadParameter(f"--out ends in one of {known}, or --encoding says how; got {out.name!r}")
    return _SUFFIXES[out.suffix.lower()]


def _speak_while_written(
    config: pb.StreamingSynthesizeConfig, address: str, timeout: float, out: Path | None, *, as_json: bool
) -> None:
    end = pb.SynthesisEnd()
    with (
        opened(out) if out else nullcontext() as file,
        connect(address, timeout) as mesh,
        mesh.converse(f"{SERVICE}/StreamingSynthesize", _requests(config), pb.StreamingSynthesizeResponse) as answers,
    ):
        for answer in answers:
            if as_json:
                print(to_json(answer, on_one_line=True), flush=True)
            if file and answer.audio_content:
                file.write(answer.audio_content)
                file.flush()
            if answer.HasField("sentence") and not as_json:
                errors().print(f"{clock(seconds(answer.sentence.start_offset)):>7}  {answer.sentence.text}")
            end.CopyFrom(answer.end)
        if file and out != Path("-") and config.audio_encoding == pb.AUDIO_ENCODING_WAV:
            close_wav(file)
    if out and out != Path("-") and not as_json:
        show(end, sound(end, str(out)), as_json=False)


def _requests(config: pb.StreamingSynthesizeConfig) -> Iterator[pb.StreamingSynthesizeRequest]:
    """The configuration, then the text as it comes. A line that somebody types is spoken at its end."""
    yield pb.StreamingSynthesizeRequest(config=config)
    typed = sys.stdin.isatty()
    for piece in _pieces():
        yield pb.StreamingSynthesizeRequest(text=piece)
        if typed:
            yield pb.StreamingSynthesizeRequest(flush=pb.SynthesisFlush())


def _pieces() -> Iterator[str]:
    """Standard input as it comes, in pieces of whole characters."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        descriptor = sys.stdin.fileno()
    except OSError:
        descriptor = -1
    while content := os.read(descriptor, _PIECE_BYTES) if descriptor >= 0 else sys.stdin.buffer.read(_PIECE_BYTES):
        if piece := decoder.decode(content):
            yield piece


def voices(
    *, address: Address, language: Language = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """List those who speak; the first of a language speaks when none is named."""
    with connect(address, timeout) as mesh:
        request = pb.ListVoicesRequest(language_code=language)
        answer = mesh.call(f"{SERVICE}/ListVoices", request, pb.ListVoicesResponse)
        made = table("voice", "languages", "sounds", "model", "hertz", right="hertz")
        for each in answer.voices:
            gender = pb.VoiceGender.Name(each.gender).removeprefix("VOICE_GENDER_").lower()
            sounds = "" if each.gender == pb.VOICE_GENDER_UNSPECIFIED else gender
            made.add_row(each.name, ", ".join(each.language_codes), sounds, each.model, str(each.sample_rate_hertz))
        show(answer, made, as_json=as_json)


def sound(answer: pb.SynthesizeSpeechResponse | pb.SynthesisEnd, path: str) -> Table:
    """One line: where the sound is, how long, by which voice."""
    made = table("file", "seconds", "hertz", "voice", "model", right="seconds hertz")
    made.add_row(path, f"{seconds(answer.duration):.2f}", str(answer.sample_rate_hertz), answer.voice, answer.model)
    return made
