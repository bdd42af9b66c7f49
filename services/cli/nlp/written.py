"""Text that a model wrote: on standard output, also while it is written; remarks on it on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from maas.nlp.v1.conversation_pb2 import StreamGenerateReplyResponse
from maas.nlp.v1.summary_pb2 import StreamSummarizeTextResponse
from services.cli.output import errors, to_json

Piece = TypeVar("Piece", StreamGenerateReplyResponse, StreamSummarizeTextResponse)

Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Print it while it is written, as on a terminal; with --json a line for each piece.",
        show_default=False,
    ),
]


def streams(stream: bool | None, texts: int, *, as_json: bool) -> bool:
    """Whether to stream: as typed, else whether a person looks on. Only one text can be streamed."""
    if stream and texts > 1:
        raise typer.BadParameter(f"--stream takes one text, got {texts}; without it they are answered together")
    return texts == 1 and not as_json and sys.stdout.isatty() if stream is None else stream


def print_pieces(pieces: Iterable[Piece], seen: list[str], *, as_json: bool) -> Piece | None:
    """Print pieces as they come: their text, or with `as_json` each as a line of JSON. Returns the last one.

    seen: gets the texts, so that they are known also when the stream breaks off.
    """
    last = None
    try:
        for last in pieces:
            seen.append(last.delta)
            if as_json:
                print(to_json(last, on_one_line=True), flush=True)
            else:
                print(last.delta, end="", flush=True)
    finally:
        if any(seen) and not as_json:
            print(flush=True)
    return last


def print_texts(texts: Sequence[str], remarks: Sequence[Sequence[Text]], *, apart: bool = True) -> None:
    """Print texts, each followed by the remarks on it; `apart`: with a blank line between two."""
    for number, (text, lines) in enumerate(zip(texts, remarks, strict=True), 1):
        if apart and number > 1:
            print()
        print(text, flush=True)
        tell(lines, number if len(texts) > 1 else 0)


def tell(remarks: Iterable[Text], number: int = 0) -> None:
    """Print remarks to standard error, behind the number of their text when there are several."""
    for line in remarks:
        errors().print(Text.assemble((f"{number}: ", "dim"), line) if number else line)
