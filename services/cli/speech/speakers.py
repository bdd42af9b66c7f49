"""`maas speech speaker`: voices as vectors, and whether two recordings seem to be of one speaker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maas.speech.v1 import speaker_pb2 as pb
from maas.type.v1.media_pb2 import Audio
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Recording, Timeout
from services.cli.output import errors, seconds, show, table
from services.cli.speech.recognition import SERVICE
from services.cli.texts import read_file

app = typer.Typer(
    no_args_is_help=True,
    help="Voices of speakers. For sorting recordings, never for opening doors: a recording or an imitator passes.",
)
# Below, the answer tells little.
_LITTLE_SECONDS = 5.0


@app.command()
def embed(
    recording: Recording,
    *,
    address: Address,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Turn a voice into a vector: maas speech speaker embed ada.wav > ada.txt."""
    request = pb.EmbedSpeakerRequest(audio=Audio(content=recording.read()), model=model)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/EmbedSpeaker", request, pb.EmbedSpeakerResponse)
        # With as many digits as make the same numbers again.
        show(answer, " ".join(f"{value:.9g}" for value in answer.embedding), as_json=as_json)
        _warn(seconds(answer.speech_duration))


@app.command()
def verify(
    recording: Recording,
    other: Annotated[
        typer.FileBinaryRead | None, typer.Argument(metavar="OTHER", help="The recording to compare it with.")
    ] = None,
    *,
    address: Address,
    vector: Annotated[
        str, typer.Option(metavar="FILE", help="Instead of OTHER, a vector that `embed` has written.")
    ] = "",
    threshold: Annotated[float, typer.Option(metavar="0..1", help="0 means the model's own.")] = 0.0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tell whether two recordings seem to be of one speaker. Not proof of who speaks."""
    if (other is None) == (not vector):
        raise typer.BadParameter("give another recording, or --vector FILE")
    request = pb.VerifySpeakerRequest(audio=Audio(content=recording.read()), threshold=threshold, model=model)
    if other is not None:
        request.other_audio.content = other.read()
    else:
        request.other_embedding.embedding.extend(_numbers(vector))
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/VerifySpeaker", request, pb.VerifySpeakerResponse)
        made = table("one_speaker", "similarity", "threshold", "speech", right="similarity threshold speech")
        speech = f"{seconds(answer.speech_duration):.1f} s"
        seems = "it seems so" if answer.same_speaker else "no"
        made.add_row(seems, f"{answer.similarity:.3f}", f"{answer.threshold:.3f}", speech)
        show(answer, made, as_json=as_json)
        _warn(seconds(answer.speech_duration))


def _numbers(path: str) -> list[float]:
    try:
        return [float(each) for each in read_file(path).split()]
    except ValueError:
        raise typer.BadParameter(f"{Path(path).name} has something else than the numbers that `embed` writes") from None


def _warn(speech_seconds: float) -> None:
    if speech_seconds < _LITTLE_SECONDS:
        errors().print(f"{speech_seconds:.1f} s of speech: below 5 s this tells little", style="yellow")
