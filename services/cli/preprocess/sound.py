"""`maas preprocess`: sound."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from rich.table import Table

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.type.v1.media_pb2 import Audio
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, VIDEO_SECONDS, Address, Json, Model, Recording, Timeout, write
from services.cli.output import bar, clock, console, errors, seconds, show, table, to_json
from services.cli.preprocess.text import SERVICE
from services.cli.sounds import Channels, Encoding, Raw, RawEncoding, Sound, close_wav, open_sound, opened, wav_header
from services.mesh.durations import to_duration

Request = TypeVar("Request", bound=Message)

_DENOISED_HERTZ = 16_000


def audio(
    recording: Recording,
    *,
    address: Address,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream", help="Send it in chunks: for any length, and for pipes; with --json a line a message."
        ),
    ] = False,
    speech: Annotated[bool, typer.Option("--speech", help="With --stream: measure speech too.")] = False,
    raw: Raw = 0,
    encoding: RawEncoding = Encoding.LINEAR16,
    channels: Channels = 1,
    rate: Annotated[int, typer.Option(metavar="HERTZ", help="Samples a second; 0 means 16000.")] = 0,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the samples as a WAV file.")] = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Decode a recording, mix it to one channel and resample it."""
    if stream:
        sound = open_sound(recording, raw, encoding, channels)
        config = pb.StreamingConvertAudioConfig(format=sound.format, sample_rate_hertz=rate, measure_speech=speech)
        _convert(sound, config, address, timeout, save, as_json=as_json)
        return
    if raw or speech:
        raise typer.BadParameter("--raw and --speech go with --stream")
    request = pb.ConvertAudioRequest(audio=Audio(content=recording.read()), sample_rate_hertz=rate)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/ConvertAudio", request, pb.ConvertAudioResponse)
        if save != Path("-"):
            show(answer, samples(answer), as_json=as_json)
        if save:
            write(save, wav(answer.samples.content, answer.sample_rate_hertz))
            errors().print(f"wrote {save}")


def _convert(
    sound: Sound,
    config: pb.StreamingConvertAudioConfig,
    address: str,
    timeout: float,
    save: Path | None,
    *,
    as_json: bool,
) -> None:
    kept: list[bytes] = []
    requests = _requests(pb.StreamingConvertAudioRequest(config=config), sound, _to_convert)
    method = f"{SERVICE}/StreamingConvertAudio"
    with (
        connect(address, timeout) as mesh,
        mesh.converse(method, requests, pb.StreamingConvertAudioResponse) as answers,
    ):
        for answer in answers:
            if as_json:
                print(to_json(answer, on_one_line=True), flush=True)
            elif save != Path("-"):
                console().print(_told(answer))
            if save:
                kept.append(answer.piece.content)
    if save:
        write(save, wav(b"".join(kept), config.sample_rate_hertz or 16_000))
        errors().print(f"wrote {save}")


def _told(answer: pb.StreamingConvertAudioResponse) -> str:
    if answer.HasField("end"):
        end = answer.end
        damaged = ", damaged" if end.damaged else ""
        source = f"{end.source_codec}, {end.source_sample_rate_hertz} Hz, {end.source_channels} channels{damaged}"
        return f"{clock(seconds(end.duration)):>7}  end: {source}"
    piece = answer.piece
    line = f"{clock(seconds(piece.offset)):>7}  {len(piece.content) // 4} samples"
    chances = piece.speech_probabilities
    return f"{line}, speech {sum(chances) / len(chances):.2f}" if chances else line


def speech(
    recording: Recording,
    *,
    address: Address,
    threshold: Annotated[float, typer.Option(metavar="0..1", help="Speech from which probability; 0 means .5.")] = 0.0,
    min_silence: Annotated[float | None, typer.Option(metavar="SECONDS", help="Silence that ends speech.")] = None,
    min_speech: Annotated[float | None, typer.Option(metavar="SECONDS", help="Leave out shorter pieces.")] = None,
    padding: Annotated[float | None, typer.Option(metavar="SECONDS", help="Added before and after.")] = None,
    raw: Raw = 0,
    encoding: RawEncoding = Encoding.LINEAR16,
    channels: Channels = 1,
    model: Model = "",
    timeout: Timeout = VIDEO_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell when somebody speaks, while the sound is sent; with --json a line a message."""
    sound = open_sound(recording, raw, encoding, channels)
    config = pb.DetectSpeechConfig(
        format=sound.format,
        threshold=threshold,
        min_silence=_duration(min_silence),
        min_speech=_duration(min_speech),
        padding=_duration(padding),
        model=model,
    )
    requests = _requests(pb.DetectSpeechRequest(config=config), sound, _to_detect)
    with (
        connect(address, timeout) as mesh,
        mesh.converse(f"{SERVICE}/DetectSpeech", requests, pb.DetectSpeechResponse) as answers,
    ):
        for answer in answers:
            if as_json:
                print(to_json(answer, on_one_line=True), flush=True)
            elif answer.HasField("speech"):
                found = answer.speech
                begin, end = seconds(found.start_offset), seconds(found.end_offset)
                made = table("", "", "", "")
                made.show_header = False
                made.add_row(
                    f"{clock(begin):>7} to {clock(end)}",
                    f"{end - begin:.1f} s",
                    f"{found.confidence:.2f}",
                    bar(found.confidence, 10),
                )
                console().print(made)
            elif answer.HasField("end"):
                share = f"{seconds(answer.end.speech_duration):.1f} s of speech"
                errors().print(f"{share} in {seconds(answer.end.duration):.1f} s", style="dim")


def denoise(
    recording: Recording,
    *,
    address: Address,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the WAV file is written; - is standard output.")],
    raw: Raw = 0,
    encoding: RawEncoding = Encoding.LINEAR16,
    channels: Channels = 1,
    model: Model = "",
    timeout: Timeout = VIDEO_SECONDS,
    as_json: Json = False,
) -> None:
    """Take noise out of speech, for ears: recognisers hear such speech no better."""
    if as_json and out == Path("-"):
        raise typer.BadParameter("--json and --out - both want standard output; leave one out")
    sound = open_sound(recording, raw, encoding, channels)
    config = pb.DenoiseAudioConfig(format=sound.format, model=model)
    requests = _requests(pb.DenoiseAudioRequest(config=config), sound, _to_denoise)
    with (
        opened(out) as file,
        connect(address, timeout) as mesh,
        mesh.converse(f"{SERVICE}/DenoiseAudio", requests, pb.DenoiseAudioResponse) as answers,
    ):
        begun = False
        for answer in answers:
            if not begun:
                # Not before the mesh has taken the sound.
                file.write(wav_header(_DENOISED_HERTZ))
                begun = True
            file.write(answer.content)
            if as_json:
                print(to_json(answer, on_one_line=True), flush=True)
            elif answer.HasField("end") and out != Path("-"):
                console().print(f"{clock(seconds(answer.end.duration)):>7}  by {answer.end.model}")
        if out != Path("-"):
            close_wav(file)
    if out != Path("-"):
        errors().print(f"wrote {out}")


def _requests(first: Request, sound: Sound, request_of: Callable[[bytes], Request]) -> Iterator[Request]:
    """The configuration, then the sound as it comes."""
    yield first
    yield from map(request_of, sound.chunks())


def _to_convert(chunk: bytes) -> pb.StreamingConvertAudioRequest:
    return pb.StreamingConvertAudioRequest(content=chunk)


def _to_detect(chunk: bytes) -> pb.DetectSpeechRequest:
    return pb.DetectSpeechRequest(content=chunk)


def _to_denoise(chunk: bytes) -> pb.DenoiseAudioRequest:
    return pb.DenoiseAudioRequest(content=chunk)


def _duration(typed: float | None) -> Duration | None:
    return None if typed is None else to_duration(typed)


def samples(answer: pb.ConvertAudioResponse) -> Table:
    """One line: the samples, and the recording they came from."""
    columns = ("samples", "hertz", "seconds", "codec", "source_hertz", "source_channels")
    made = table(*columns, right="samples hertz seconds")
    made.add_row(
        str(answer.samples.shape[0]),
        str(answer.sample_rate_hertz),
        f"{seconds(answer.duration):.2f}",
        answer.source_codec,
        str(answer.source_sample_rate_hertz),
        str(answer.source_channels),
    )
    return made


def wav(content: bytes, sample_rate_hertz: int) -> bytes:
    """A WAV file of float32 samples (little-endian, one channel), bit for bit."""
    ieee_float, channels, width = 3, 1, 4
    form = struct.pack(
        "<HHIIHHH", ieee_float, channels, sample_rate_hertz, sample_rate_hertz * width, width, 8 * width, 0
    )
    chunks = [(b"fmt ", form), (b"fact", struct.pack("<I", len(content) // width)), (b"data", content)]
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(chunk)) + chunk for name, chunk in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
