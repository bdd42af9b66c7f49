"""`maas vision`: several features of pictures at once, and those that have no RPC of their own."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from maas.vision.v1 import vision_pb2 as pb
from services.cli.client import connect
from services.cli.options import TIMEOUT_SECONDS, Address, Json, Model, Timeout
from services.cli.output import console, show, to_json
from services.cli.photos import MaxResults, Photo, Photos, Save, draw, image, require_drawable
from services.cli.vision import tables
from services.cli.vision.images import SERVICE


class Feature(Enum):
    """What can be found out."""

    LABELS = "labels"
    OBJECTS = "objects"
    FACES = "faces"
    TEXT = "text"
    SAFETY = "safety"
    POSE = "pose"
    PERSON_MASK = "person-mask"
    EMBEDDING = "embedding"


def annotate(
    photos: Photos,
    *,
    address: Address,
    feature: Annotated[
        list[Feature] | None,
        typer.Option("--feature", "-f", help="What to find out; labels and objects without. Repeat."),
    ] = None,
    save: Save = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find out several things about a picture, which is decoded once; of several pictures as one batch."""
    pictures = [image(photo) for photo in photos]
    if save and len(photos) > 1:
        raise typer.BadParameter("--save draws one picture; give one PHOTO")
    require_drawable(pictures[0], save)
    features = [_asked(each) for each in feature or [Feature.LABELS, Feature.OBJECTS]]
    with connect(address, timeout) as mesh:
        if len(pictures) == 1:
            request = pb.AnnotateImageRequest(image=pictures[0], features=features)
            answer = mesh.call(f"{SERVICE}/AnnotateImage", request, pb.AnnotateImageResponse)
            show(answer, tables.annotation(answer.annotation), as_json=as_json)
            draw(pictures[0], save, lambda canvas: canvas.annotation(answer.annotation))
            _require_whole([pb.BatchAnnotateImagesResult(annotation=answer.annotation)])
            return
        batch = pb.BatchAnnotateImagesRequest(images=pictures, features=features)
        answers = mesh.call(f"{SERVICE}/BatchAnnotateImages", batch, pb.BatchAnnotateImagesResponse)
        if as_json:
            print(to_json(answers))
            _require_whole(answers.results)
            return
        for photo, result in zip(photos, answers.results, strict=True):
            console().print(Text(photo, style="bold underline"))
            failed = result.HasField("status")
            console().print(
                Text(result.status.message, style="red") if failed else tables.annotation(result.annotation)
            )
        _require_whole(answers.results)


def _require_whole(results: Sequence[pb.BatchAnnotateImagesResult]) -> None:
    """End with code 1 when a picture or a feature of one failed, so that a script notices."""
    if any(result.HasField("status") or result.annotation.failures for result in results):
        raise typer.Exit(1)


def safety(
    photo: Photo, *, address: Address, model: Model = "", timeout: Timeout = TIMEOUT_SECONDS, as_json: Json = False
) -> None:
    """Say how likely a picture is not safe for work."""
    _one(photo, Feature.SAFETY, address, timeout, model=model, as_json=as_json)


def pose(
    photo: Photo,
    *,
    address: Address,
    save: Save = None,
    max_results: MaxResults = 0,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find the postures of people: 17 points each."""
    _one(photo, Feature.POSE, address, timeout, model=model, as_json=as_json, save=save, max_results=max_results)


def segment(
    photo: Photo,
    *,
    address: Address,
    save: Save = None,
    model: Model = "",
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Find where there are people, pixel by pixel; --save keeps them and takes the colour from the rest."""
    _one(photo, Feature.PERSON_MASK, address, timeout, model=model, as_json=as_json, save=save)


def _one(
    photo: str,
    feature: Feature,
    address: str,
    timeout: float,
    *,
    model: str,
    as_json: bool,
    save: Save = None,
    max_results: int = 0,
) -> None:
    picture = image(photo)
    require_drawable(picture, save)
    request = pb.AnnotateImageRequest(image=picture, features=[_asked(feature, model, max_results)])
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/AnnotateImage", request, pb.AnnotateImageResponse)
        show(answer, _told(feature, answer.annotation), as_json=as_json)
        if answer.annotation.failures:
            raise typer.Exit(1)
        draw(picture, save, lambda canvas: canvas.annotation(answer.annotation))


def _told(feature: Feature, found: pb.ImageAnnotation) -> RenderableType:
    if found.failures:
        return tables.annotation(found)
    if feature is Feature.SAFETY:
        return tables.safety(found.safety)
    if feature is Feature.POSE:
        return tables.poses(found.poses)
    return f"people take {found.person_mask.coverage:.0%} of the picture"


def _asked(feature: Feature, model: str = "", max_results: int = 0) -> pb.ImageFeatureRequest:
    value = pb.ImageFeature.Value(f"IMAGE_FEATURE_{feature.name}")
    return pb.ImageFeatureRequest(feature=value, model=model, max_results=max_results)
