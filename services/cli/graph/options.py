"""Arguments and options that several commands of `maas graph` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SERVICE = "maas.router.v1.RouterService"

Name = Annotated[str, typer.Argument(metavar="GRAPH", help="Which graph; `maas graph list` lists them.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="The graph, YAML; - reads standard input.")]
Etag = Annotated[
    str, typer.Option(metavar="TEXT", help="Only if it is still what had this etag, as `--json` shows it.")
]
Key = Annotated[
    str, typer.Option("--key", metavar="TEXT", help="Calls with the same key go the same way, for example a user's id.")
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME=...",
        help="NAME=TEXT: a text. NAME=@FILE: a file's bytes; @- reads standard input. NAME:=JSON: a number, true, "
        "false or a list.",
    ),
]
Saves = Annotated[
    list[str] | None,
    typer.Option(
        "--save", metavar="OUTPUT=FILE", help="Write an output that is data, a sound for instance, to a file."
    ),
]


def saved(texts: list[str] | None) -> dict[str, Path]:
    """Where outputs are written, by name. What is not OUTPUT=FILE is wrong usage."""
    found: dict[str, Path] = {}
    for text in texts or []:
        output, sign, path = text.partition("=")
        if not (output and sign and path):
            raise typer.BadParameter(f"{text!r} is not OUTPUT=FILE", param_hint="--save")
        found[output] = Path(path)
    return found
