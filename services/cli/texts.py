"""Texts on the command line: typed, a line each on standard input, or a file each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

# Far more than any service takes; what keeps an endless standard input from filling the memory.
_MAX_BYTES = 64 * 1024 * 1024

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="Texts; - reads standard input, one text a line.", show_default=False),
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", metavar="PATH", help="A file as one text, after the others; - is all of standard input. Repeat."
    ),
]
Language = Annotated[str, typer.Option(metavar="CODE", help="Language, BCP-47. Without it, each text's is detected.")]


def read(texts: Sequence[str] | None, files: Sequence[str] | None, *, what: str = "a TEXT") -> list[str]:
    """All texts: as typed, each "-" replaced by the lines of standard input that are not blank, then a file each.

    None at all, what is no UTF-8 text, and standard input used twice are wrong usage.
    """
    texts, files = texts or [], files or []
    if [*texts, *files].count("-") > 1:
        raise typer.BadParameter("standard input can be read only once; - is given more than once")
    if not (texts or files):
        raise typer.BadParameter(f"give {what}, --file PATH, or - to read lines from standard input")
    found: list[str] = []
    for text in texts:
        found += [line.strip() for line in read_file("-").splitlines() if line.strip()] if text == "-" else [text]
    found += [read_file(path) for path in files]
    if any(not _is_unicode(text) for text in found):
        raise typer.BadParameter("a text has bytes that are no UTF-8")
    return found


def read_file(path: str) -> str:
    """All of a UTF-8 text file, or of standard input when the path is "-". One that cannot be read is wrong usage."""
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise typer.BadParameter(f"{name} has more than {_MAX_BYTES:,} bytes")
    try:
        # Some editors begin a file with a byte order mark.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{name} is no UTF-8 text") from None


def _is_unicode(text: str) -> bool:
    """Whether a text that was typed can be sent: Python keeps bytes that are no UTF-8 as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
