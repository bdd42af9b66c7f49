"""Photos on the command line: a file, an address, or standard input; and where drawings of them go."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maas.type.v1.media_pb2 import Image
from services.cli.output import errors

if TYPE_CHECKING:
    from services.cli.picture import Canvas

# Above what the service takes, so that its own words about the limit are what people see.
_MAX_BYTES = 32 * 1024 * 1024

Photo = Annotated[str, typer.Argument(metavar="PHOTO", help="A picture file, its address, or - for standard input.")]
Photos = Annotated[list[str], typer.Argument(metavar="PHOTO", help="Picture files or addresses.", show_default=False)]
Save = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw what was found on the picture and write it here.")
]
MaxResults = Annotated[int, typer.Option(metavar="N", help="Most results; 0 leaves it to the service.")]
MinScore = Annotated[float, typer.Option(metavar="0..1", help="Leave out results below; 0 leaves it to the service.")]


def image(photo: str) -> Image:
    """The picture of a request. A file that cannot be read is wrong usage."""
    if re.match(r"[a-z0-9]+://", photo):
        return Image(uri=photo)
    name = "standard input" if photo == "-" else photo
    try:
        if photo == "-":
            content = sys.stdin.buffer.read(_MAX_BYTES)
        else:
            with Path(photo).open("rb") as file:
                content = file.read(_MAX_BYTES)
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}") from None
    if not content:
        raise typer.BadParameter(f"{name} is empty")
    return Image(content=content)


def require_drawable(picture: Image, save: Path | None) -> None:
    """Refuse, as wrong usage and before anything is called, what could not be drawn or written afterwards."""
    if save is None:
        return
    if not picture.content:
        raise typer.BadParameter("--save draws on the picture itself: give it as a file, not as an address")
    from services.cli import picture as drawing  # noqa: PLC0415 - Pillow is only for those who draw

    drawing.require_format(save)


def draw(picture: Image, save: Path | None, pen: Callable[[Canvas], None]) -> None:
    """Draw on the picture and write it, if it is wanted."""
    if save is None:
        return
    from services.cli.picture import drawn_on  # noqa: PLC0415 - as above

    with drawn_on(picture.content, save) as canvas:
        pen(canvas)
    errors().print(f"wrote {save}")
