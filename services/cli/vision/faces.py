"""`maas vision`: faces, nothing of which is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from maas.vision.v1 import face_pb2 as pb
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Timeout
from services.cli.output import show
from services.cli.photos import MaxResults, MinScore, Photo, Save, draw, image, require_drawable
from services.cli.vision import tables
from services.cli.vision.images import SERVICE


def faces(
    photo: Photo,
    *,
    address: Address,
    save: Save = None,
    age: Annotated[bool, typer.Option("--age", help="Estimate the age of each.")] = False,
    expression: Annotated[bool, typer.Option("--expression", help="Say what each expresses.")] = False,
    embedding: Annotated[bool, typer.Option("--embedding", help="Give each one's vector; see it with --json.")] = False,
    max_results: MaxResults = 0,
    min_score: MinScore = 0.0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find faces."""
    picture = image(photo)
    require_drawable(picture, save)
    wanted = {
        pb.FACE_ATTRIBUTE_AGE: age,
        pb.FACE_ATTRIBUTE_EXPRESSION: expression,
        pb.FACE_ATTRIBUTE_EMBEDDING: embedding,
    }
    request = pb.DetectFacesRequest(
        image=picture,
        attributes=[attribute for attribute, is_wanted in wanted.items() if is_wanted],
        max_results=max_results,
        min_score=min_score,
        model=model,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/DetectFaces", request, pb.DetectFacesResponse)
        show(answer, tables.faces(answer.faces, answer.image_width, answer.image_height), as_json=as_json)
        draw(picture, save, lambda canvas: canvas.faces(answer.faces))


def verify(
    photo: Photo,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another picture, with the face to compare.")],
    *,
    address: Address,
    max_distance: Annotated[
        float, typer.Option(metavar="0..2", help="Largest distance of one person; 0 leaves it to the service.")
    ] = 0.0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Say whether two pictures show the same face."""
    if photo == other == "-":
        raise typer.BadParameter("standard input can be read only once; - is given twice")
    request = pb.VerifyFaceRequest(image=image(photo), other_image=image(other), max_distance=max_distance, model=model)
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/VerifyFace", request, pb.VerifyFaceResponse)
        judged = "the same person" if answer.same_person else "different people"
        show(answer, f"{judged}: distance {answer.distance:.2f}, threshold {answer.threshold:.2f}", as_json=as_json)
