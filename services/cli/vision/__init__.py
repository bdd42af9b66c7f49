"""`maas vision`: what pictures and videos show."""

from __future__ import annotations

import typer

from services.cli.vision import annotation, faces, gallery, images, video

_SEE, _FACES, _PEOPLE, _SEVERAL = "See", "Faces", "People", "Several things at once"

app = typer.Typer(
    no_args_is_help=True,
    help="What pictures and videos show.\n\nA PHOTO is a file, an address (https://..., s3://...) that the mesh may "
    "read, or - for standard input. --save draws what was found.",
)
for panel, commands in (
    (_SEE, (images.classify, images.detect, images.text, images.embed, annotation.safety)),
    (_FACES, (faces.faces, faces.verify, images.redact)),
    (_PEOPLE, (annotation.pose, annotation.segment)),
    (_SEVERAL, (annotation.annotate, video.video, images.config)),
):
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(gallery.app, name="gallery", rich_help_panel=_FACES)
