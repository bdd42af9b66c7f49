"""`maas vision`: one thing about one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from maas.vision.v1 import image_pb2, redaction_pb2
from maas.vision.v1 import vision_pb2 as pb
from services.cli.client import connect
from services.cli.models.listing import models_table
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Timeout, write
from services.cli.output import console, errors, show, table, to_json
from services.cli.photos import MaxResults, MinScore, Photo, Photos, Save, draw, image, require_drawable
from services.cli.preprocess.media import Method
from services.cli.preprocess.media import box as place
from services.cli.vision import tables

SERVICE = "maas.vision.v1.VisionService"


def classify(
    photo: Photo,
    *,
    address: Address,
    max_results: MaxResults = 0,
    min_score: MinScore = 0.0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Name what a picture shows as a whole."""
    request = pb.ClassifyImageRequest(image=image(photo), max_results=max_results, min_score=min_score, model=model)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/ClassifyImage", request, pb.ClassifyImageResponse)
        show(answer, tables.labels(answer.labels), as_json=as_json)


def detect(
    photo: Photo,
    *,
    address: Address,
    save: Save = None,
    tiling: Annotated[bool, typer.Option("--tiling", help="Look piece by piece too, for small things.")] = False,
    max_results: MaxResults = 0,
    min_score: MinScore = 0.0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find things on a picture and say where they are."""
    picture = image(photo)
    require_drawable(picture, save)
    request = pb.DetectObjectsRequest(
        image=picture,
        max_results=max_results,
        min_score=min_score,
        model=model,
        tiling=pb.TILING_ON if tiling else pb.TILING_UNSPECIFIED,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/DetectObjects", request, pb.DetectObjectsResponse)
        show(answer, tables.objects(answer.objects, answer.image_width, answer.image_height), as_json=as_json)
        draw(picture, save, lambda canvas: canvas.objects(answer.objects))


def text(
    photo: Photo,
    *,
    address: Address,
    save: Save = None,
    min_score: MinScore = 0.0,
    places: Annotated[bool, typer.Option("--places", help="A line a line: score, place and angle too.")] = False,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Read the writing on a picture."""
    picture = image(photo)
    require_drawable(picture, save)
    request = image_pb2.RecognizeTextRequest(image=picture, min_score=min_score, model=model)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/RecognizeText", request, image_pb2.RecognizeTextResponse)
        lines = tables.text_lines(answer.lines, answer.image_width, answer.image_height)
        show(answer, lines if places else answer.text or "(no writing was found)", as_json=as_json)
        draw(picture, save, lambda canvas: canvas.lines(answer.lines))


def embed(
    photos: Photos, *, address: Address, model: Model = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """Turn pictures into vectors; of several, say how alike they are."""
    requests = [image_pb2.EmbedImageRequest(image=image(photo), model=model) for photo in photos]
    with connect(address, timeout) as mesh:
        answers = [mesh.call(f"{SERVICE}/EmbedImage", request, image_pb2.EmbedImageResponse) for request in requests]
        if as_json:
            for answer in answers:
                print(to_json(answer, on_one_line=len(answers) > 1))
        elif len(answers) == 1:
            console().print(" ".join(f"{value:.4f}" for value in answers[0].embedding))
        else:
            console().print(_likeness(photos, [answer.embedding for answer in answers]))


def _likeness(photos: list[str], vectors: Sequence[Sequence[float]]) -> Table:
    """The cosine of each two."""
    names = [str(number) for number in range(1, len(photos) + 1)]
    made = table("", "photo", *names, right=" ".join(names))
    for number, (photo, vector) in enumerate(zip(photos, vectors, strict=True), 1):
        made.add_row(str(number), photo, *[f"{_dot(vector, other):.2f}" for other in vectors])
    return made


def _dot(vector: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(vector, other, strict=True))


def redact(
    photo: Photo,
    *,
    address: Address,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the picture is written; - is standard output.")],
    faces: Annotated[bool | None, typer.Option(help="Cover faces; so it is unless --text or --box is given.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Cover writing.")] = False,
    box: Annotated[
        list[str] | None,
        typer.Option(metavar="X0,Y0,X1,Y1", help="Cover a place, in fractions of width and height. Repeat."),
    ] = None,
    method: Annotated[Method, typer.Option(help="How.")] = Method.FILL,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Cover faces, writing or given places, for privacy."""
    request = redaction_pb2.RedactImageRequest(
        image=image(photo),
        faces=not (text or box) if faces is None else faces,
        text=text,
        boxes=[place(each, "--box") for each in box or []],
        method=getattr(redaction_pb2, f"REDACTION_METHOD_{method.name}"),
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/RedactImage", request, redaction_pb2.RedactImageResponse)
        write(out, answer.content)
        if out != Path("-"):
            show(answer, tables.redacted(answer.regions), as_json=as_json)
            errors().print(f"wrote {out}")


def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the models of this service."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/GetVisionConfig", pb.GetVisionConfigRequest(), pb.GetVisionConfigResponse)
        show(answer, models_table(answer.models), as_json=as_json)
