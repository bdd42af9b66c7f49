"""`maas vision`: what pictures show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from maas.type.v1.media_pb2 import Image
from maas.vision.v1 import vision_pb2 as pb
from services.cli.client import connect
from services.cli.models import models_table
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Photo, Timeout
from services.cli.output import bar, errors, show, table

app = typer.Typer(no_args_is_help=True, help="What pictures show.")
_SERVICE = "maas.vision.v1.VisionService"

MaxResults = Annotated[int, typer.Option(metavar="N", help="Most results; 0 leaves it to the service.")]
MinScore = Annotated[float, typer.Option(metavar="0..1", help="Leave out results below; 0 leaves it to the service.")]


@app.command()
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
    request = pb.ClassifyImageRequest(
        image=Image(content=photo.read()), max_results=max_results, min_score=min_score, model=model
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/ClassifyImage", request, pb.ClassifyImageResponse)
        show(answer, labels(answer), as_json=as_json)


@app.command()
def detect(
    photo: Photo,
    *,
    address: Address,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the boxes on the picture and write it here.")
    ] = None,
    max_results: MaxResults = 0,
    min_score: MinScore = 0.0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find things on a picture and say where they are."""
    content = photo.read()
    if save:
        from services.cli import picture  # noqa: PLC0415 - Pillow is only for those who draw

        picture.require_format(save)
    request = pb.DetectObjectsRequest(
        image=Image(content=content), max_results=max_results, min_score=min_score, model=model
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/DetectObjects", request, pb.DetectObjectsResponse)
        show(answer, objects(answer), as_json=as_json)
        if save:
            picture.save_boxes(content, answer.objects, save)
            errors().print(f"wrote {save}")


@app.command()
def config(*, address: Address, timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False) -> None:
    """List the models of this service."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{_SERVICE}/GetVisionConfig", pb.GetVisionConfigRequest(), pb.GetVisionConfigResponse)
        show(answer, models_table(answer.models), as_json=as_json)


def labels(answer: pb.ClassifyImageResponse) -> Table:
    """A line a label, best first."""
    made = table("score", "", "label", right="score")
    for label in answer.labels:
        made.add_row(f"{label.score:.2f}", bar(label.score), label.name)
    return made


def objects(answer: pb.DetectObjectsResponse) -> Table:
    """A line an object, best first; places in pixels of the upright picture."""
    made = table("score", "", "object", "left", "top", "right", "bottom", right="score left top right bottom")
    for found in answer.objects:
        box, width, height = found.bounding_box, answer.image_width, answer.image_height
        places = (box.x_min * width, box.y_min * height, box.x_max * width, box.y_max * height)
        made.add_row(f"{found.score:.2f}", bar(found.score), found.name, *[f"{place:.0f}" for place in places])
    return made
