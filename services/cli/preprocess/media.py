"""`maas preprocess`: pictures and videos."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.table import Table

from maas.preprocessing.v1 import preprocessing_pb2 as pb
from maas.type.v1.media_pb2 import BoundingBox
from maas.type.v1.tensor_pb2 import Tensor
from services.cli.client import connect
from services.cli.options import (
    CHUNK_BYTES,
    TIMEOUT_SECONDS,
    VIDEO_SECONDS,
    Address,
    Json,
    Timeout,
    Video,
    write,
)
from services.cli.output import clock, console, errors, seconds, show, table, to_json
from services.cli.photos import Photo
from services.cli.photos import image as image_of
from services.cli.preprocess.text import SERVICE


class Fit(StrEnum):
    """How a picture is brought to a size; the proto explains each."""

    STRETCH = "stretch"
    COVER = "cover"
    CONTAIN = "contain"
    INSIDE = "inside"


class Method(StrEnum):
    """How places are covered."""

    FILL = "fill"
    BLUR = "blur"
    PIXELATE = "pixelate"


def image(
    photo: Photo,
    *,
    address: Address,
    width: Annotated[int, typer.Option(metavar="PIXELS", help="0 keeps the picture's own size.")] = 0,
    height: Annotated[int, typer.Option(metavar="PIXELS", help="0 keeps the picture's own size.")] = 0,
    fit: Annotated[Fit, typer.Option(help="How the picture is brought to that size.")] = Fit.STRETCH,
    crop_fraction: Annotated[float, typer.Option(metavar="0..1", help="With cover: the share of the crop used.")] = 0.0,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the pixels as a picture.")] = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Decode a picture, turn it upright, scale and crop it."""
    _require_format(save)
    request = pb.TransformImageRequest(
        image=image_of(photo),
        width=width,
        height=height,
        fit=pb.Fit.Value(f"FIT_{fit.name}"),
        crop_fraction=crop_fraction,
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/TransformImage", request, pb.TransformImageResponse)
        show(answer, pixels(answer), as_json=as_json)
        if save:
            _save(answer.pixels, save)


def render(
    photo: Photo,
    *,
    address: Address,
    size: Annotated[list[str], typer.Option(metavar="WxH", help="A wanted size in pixels. Repeat.")],
    fit: Annotated[Fit, typer.Option(help="How the picture is brought to each.")] = Fit.INSIDE,
    region: Annotated[str, typer.Option(metavar="X0,Y0,X1,Y1", help="Only this part, in fractions of it.")] = "",
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the pixels; of several sizes with a number in the name.")
    ] = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Decode a picture once and bring it to several sizes."""
    _require_format(save)
    targets = []
    for width, height in map(_size, size):
        target = pb.ImageTarget(width=width, height=height, fit=pb.Fit.Value(f"FIT_{fit.name}"))
        if region:
            target.region.CopyFrom(box(region, "--region"))
        targets.append(target)
    with connect(address, timeout) as mesh:
        request = pb.RenderImageRequest(image=image_of(photo), targets=targets)
        answer = mesh.call(f"{SERVICE}/RenderImage", request, pb.RenderImageResponse)
        made = table("pixels", "source", "format", "region_shown")
        for each in answer.renderings:
            source = f"{answer.source_width} x {answer.source_height}"
            made.add_row(_sides(each.pixels), source, answer.source_format, _region(each.source_region))
        show(answer, made, as_json=as_json)
        for number, each in enumerate(answer.renderings if save else (), 1):
            assert save is not None  # noqa: S101 - as the line above says, for the type checker
            _save(each.pixels, save if len(targets) == 1 else save.with_stem(f"{save.stem}-{number}"))


def redact(
    photo: Photo,
    *,
    address: Address,
    region: Annotated[
        list[str],
        typer.Option("--box", metavar="X0,Y0,X1,Y1", help="A place, in fractions of width and height. Repeat."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the picture is written; - is standard output.")],
    method: Annotated[Method, typer.Option(help="How.")] = Method.FILL,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Cover places on a picture; `maas vision redact` finds faces and writing itself."""
    request = pb.RedactImageRequest(
        image=image_of(photo),
        regions=[box(each, "--box") for each in region],
        method=getattr(pb, f"REDACTION_METHOD_{method.name}"),
    )
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/RedactImage", request, pb.RedactImageResponse)
        write(out, answer.content)
        if out != Path("-"):
            show(answer, f"{len(answer.content):,} bytes of {answer.media_type}", as_json=as_json)
            errors().print(f"wrote {out}")


def frames(
    file: Video,
    *,
    address: Address,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size in pixels that each frame fits into.")] = "",
    fps: Annotated[float, typer.Option(metavar="N", help="Frames a second; 0 leaves it to the service.")] = 0.0,
    shots: Annotated[bool, typer.Option(help="Find changes of shots.")] = True,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the frames, each with its number in the name.")
    ] = None,
    timeout: Timeout = VIDEO_SECONDS,
    as_json: Json = False,
) -> None:
    """Decode a video while it is sent: its frames and its changes of shots; with --json a line a message."""
    _require_format(save)
    config = pb.ExtractFramesConfig(frames_per_second=fps, detect_shot_changes=shots)
    if size or save:
        width, height = _size(size or "640x640")
        config.targets.add(width=width, height=height, fit=pb.FIT_INSIDE)
    number = 0
    with (
        connect(address, timeout) as mesh,
        mesh.converse(f"{SERVICE}/ExtractFrames", _requests(config, file), pb.ExtractFramesResponse) as answers,
    ):
        for answer in answers:
            if as_json:
                print(to_json(answer, on_one_line=True), flush=True)
            elif words := _told(answer):
                console().print(words)
            if save and answer.HasField("frame"):
                number += 1
                _save(answer.frame.renderings[0].pixels, save.with_stem(f"{save.stem}-{number}"), quiet=True)


def _requests(config: pb.ExtractFramesConfig, file: BinaryIO) -> Iterator[pb.ExtractFramesRequest]:
    yield pb.ExtractFramesRequest(config=config)
    while chunk := file.read(CHUNK_BYTES):
        yield pb.ExtractFramesRequest(content=chunk)


def _told(answer: pb.ExtractFramesResponse) -> str:
    if answer.HasField("frame"):
        frame = answer.frame
        sizes = ", ".join(_sides(each.pixels) for each in frame.renderings)
        return f"{clock(seconds(frame.offset))}  frame {sizes} of {frame.source_width} x {frame.source_height}"
    if answer.HasField("shot_change"):
        return f"{clock(seconds(answer.shot_change.offset))}  -- a new shot ({answer.shot_change.score:.2f})"
    if answer.HasField("waiting_for_index"):
        return "this file has its index at the end: nothing can be decoded before it has come whole"
    end = answer.end
    damaged = ", damaged" if end.damaged else ""
    length = clock(seconds(end.duration))
    return f"{length}  end: {end.frames_decoded} frames, {end.source_codec} in {end.source_container}{damaged}"


def fetch(
    uri: Annotated[str, typer.Argument(metavar="ADDRESS", help="https://..., s3://... and so on.")],
    *,
    address: Address,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where it is written; - is standard output.")] = None,
    timeout: Timeout = TIMEOUT_SECONDS,
    as_json: Json = False,
) -> None:
    """Have the mesh read a file from a place that its operator allows."""
    with connect(address, timeout) as mesh:
        answer = mesh.call(f"{SERVICE}/FetchMedia", pb.FetchMediaRequest(uri=uri), pb.FetchMediaResponse)
        if out != Path("-"):
            show(answer, f"{len(answer.content):,} bytes", as_json=as_json)
        if out:
            write(out, answer.content)


def pixels(answer: pb.TransformImageResponse) -> Table:
    """One line: the picture that came, and the part of it that the pixels show."""
    made = table("pixels", "source", "format", "region_shown")
    source = f"{answer.source_width} x {answer.source_height}"
    made.add_row(_sides(answer.pixels), source, answer.source_format, _region(answer.source_region))
    return made


def box(typed: str, option: str) -> BoundingBox:
    """A place as it was typed. Anything but four numbers is wrong usage."""
    try:
        x_min, y_min, x_max, y_max = (float(each) for each in typed.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} takes four numbers such as 0.1,0.2,0.5,0.6; got {typed!r}") from None
    return BoundingBox(x_min=x_min, y_min=y_min, x_max=x_max, y_max=y_max)


def _size(typed: str) -> tuple[int, int]:
    width, _, height = typed.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"--size takes WIDTHxHEIGHT such as 300x200; got {typed!r}")
    return int(width), int(height)


def _require_format(save: Path | None) -> None:
    if save:
        from services.cli import picture  # noqa: PLC0415 - Pillow is only for those who draw

        picture.require_format(save)


def _save(pixels: Tensor, path: Path, *, quiet: bool = False) -> None:
    from services.cli import picture  # noqa: PLC0415 - as above

    rows, columns = pixels.shape[:2]
    picture.save_pixels(pixels.content, columns, rows, path)
    if not quiet:
        errors().print(f"wrote {path}")


def _sides(pixels: Tensor) -> str:
    rows, columns = pixels.shape[:2]
    return f"{columns} x {rows}"


def _region(shown: BoundingBox) -> str:
    return f"{shown.x_min:.2f},{shown.y_min:.2f} to {shown.x_max:.2f},{shown.y_max:.2f}"
