"""`maas preprocess`: raw input to tensors and clean data."""

from __future__ import annotations

import typer

from services.cli.preprocess import media, sound, text

app = typer.Typer(no_args_is_help=True, help="Raw input to tensors and clean data.")
for panel, commands in (
    ("Texts", (text.normalize, text.tokenize, text.segment, text.detect_language)),
    ("Pictures and videos", (media.image, media.render, media.redact, media.frames)),
    ("Sound", (sound.audio, sound.speech, sound.denoise)),
    ("Both", (media.fetch,)),
    ("Find out", (text.config,)),
):
    for command in commands:
        app.command(rich_help_panel=panel)(command)
