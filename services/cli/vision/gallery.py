"""`maas vision gallery`: faces that are kept, and whose they are."""

from __future__ import annotations

from typing import Annotated

import typer

from maas.vision.v1 import face_pb2 as pb
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Timeout
from services.cli.output import show, table
from services.cli.photos import MaxResults, Photo, image
from services.cli.vision.images import SERVICE

app = typer.Typer(no_args_is_help=True, help="Faces that are kept, encrypted, and whose they are.")

Tenant = Annotated[str, typer.Option(envvar="MAAS_TENANT", metavar="NAME", help="Whose gallery.")]


@app.command()
def enroll(
    photo: Photo,
    *,
    address: Address,
    person: Annotated[str, typer.Option(metavar="ID", help="Who it is, in your own words.")],
    tenant: Tenant = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Put a face into the gallery."""
    request = pb.EnrollFaceRequest(image=image(photo), person_id=person)
    with connect(address, timeout, tenant=tenant) as mesh:
        answer = mesh.call(f"{SERVICE}/EnrollFace", request, pb.EnrollFaceResponse)
        show(answer, f"{answer.face.person_id} is enrolled as face {answer.face.face_id}", as_json=as_json)


@app.command()
def identify(
    photo: Photo,
    *,
    address: Address,
    max_results: MaxResults = 0,
    max_distance: Annotated[
        float, typer.Option(metavar="0..2", help="Largest distance of a candidate; 0 leaves it to the service.")
    ] = 0.0,
    tenant: Tenant = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Say whose face of the gallery a picture shows, if any."""
    request = pb.IdentifyFaceRequest(image=image(photo), max_results=max_results, max_distance=max_distance)
    with connect(address, timeout, tenant=tenant) as mesh:
        answer = mesh.call(f"{SERVICE}/IdentifyFace", request, pb.IdentifyFaceResponse)
        made = table("distance", "person", "face", right="distance")
        for each in answer.candidates:
            made.add_row(f"{each.distance:.2f}", each.face.person_id, each.face.face_id)
        nobody = f"nobody of the {answer.gallery_size} enrolled faces, up to a distance of {answer.threshold:.2f}"
        show(answer, made if answer.candidates else nobody, as_json=as_json)


@app.command()
def delete(
    *,
    address: Address,
    person: Annotated[str, typer.Option(metavar="ID", help="All faces of this person.")] = "",
    face: Annotated[str, typer.Option(metavar="ID", help="One face.")] = "",
    tenant: Tenant = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Delete a face, or all faces of a person."""
    if bool(person) == bool(face):
        raise typer.BadParameter("give either --person or --face")
    request = pb.DeleteFaceRequest(person_id=person) if person else pb.DeleteFaceRequest(face_id=face)
    with connect(address, timeout, tenant=tenant) as mesh:
        answer = mesh.call(f"{SERVICE}/DeleteFace", request, pb.DeleteFaceResponse)
        show(answer, f"deleted {answer.deleted_count}", as_json=as_json)


@app.command("list")
def list_faces(
    *,
    address: Address,
    person: Annotated[str, typer.Option(metavar="ID", help="Of this person only.")] = "",
    page_size: Annotated[int, typer.Option(metavar="N", help="Most faces; 0 leaves it to the service.")] = 0,
    page_token: Annotated[str, typer.Option(metavar="TOKEN", help="Where the page before ended.")] = "",
    tenant: Tenant = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """List the faces of the gallery, oldest first."""
    request = pb.ListFacesRequest(person_id=person, page_size=page_size, page_token=page_token)
    with connect(address, timeout, tenant=tenant) as mesh:
        answer = mesh.call(f"{SERVICE}/ListFaces", request, pb.ListFacesResponse)
        made = table("enrolled", "person", "face", "model")
        for each in answer.faces:
            when = f"{each.create_time.ToDatetime():%Y-%m-%d %H:%M}"
            made.add_row(when, each.person_id, each.face_id, each.model)
        if answer.next_page_token:
            made.add_row("...", f"more with --page-token {answer.next_page_token}", "", "")
        show(answer, made, as_json=as_json)
