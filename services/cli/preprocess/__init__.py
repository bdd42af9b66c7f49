"""`maas preprocess`: raw input to tensors and clean data."""

from __future__ import annotations

import typer

from services.cli.preprocess import media, text

app = typer.Typer(no_args_is_help=True, help="Raw input to tensors and clean data.")
for panel, commands in (
    ("Texts", (text.normalize, text.tokenize, text.segment, text.detect_language)),
    ("Pictures, videos, recordings", (media.image, media.render, media.redact, media.frames, media.audio, media.fetch)),
    ("Find out", (text.config,)),
):
    for command in commands:
        app.command(rich_help_panel=panel)(command)
