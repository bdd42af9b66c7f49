"""Options that every call has, and arguments that several share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

PANEL = "Every call"


DEFAULT_ADDRESS = "127.0.0.1:8080"


def local_address() -> str:
    """host:port of the mesh that `maas up` starts: 127.0.0.1 and MAAS_PORT, 8080 without one."""
    port = os.environ.get("MAAS_PORT")
    return f"127.0.0.1:{port}" if port else DEFAULT_ADDRESS


def _host_and_port(address: str) -> str:
    if "://" in address or ":" not in address:
        raise typer.BadParameter(f"takes host:port without a scheme, for example 127.0.0.1:8080; got {address!r}")
    return address


Address = Annotated[
    str,
    typer.Option(
        envvar="MAAS_ADDRESS",
        default_factory=local_address,
        callback=_host_and_port,
        metavar="HOST:PORT",
        help="Where the mesh is. Without it: 127.0.0.1 and $MAAS_PORT, or 8080.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
Timeout = Annotated[
    float, typer.Option(min=0.001, metavar="SECONDS", help="Give up after so long.", rich_help_panel=PANEL)
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the answer as JSON, and nothing else.", rich_help_panel=PANEL)
]
Model = Annotated[str, typer.Option(metavar="NAME", help="Which model; `maas models` lists them.")]
Video = Annotated[typer.FileBinaryRead, typer.Argument(metavar="VIDEO", help="A video file; - reads standard input.")]
Recording = Annotated[
    typer.FileBinaryRead, typer.Argument(metavar="RECORDING", help="A sound file; - reads standard input.")
]

TIMEOUT_SECONDS = 60.0
# Of a stream that lasts as long as a video does.
VIDEO_SECONDS = 3600.0
# Of a video, sent at once.
CHUNK_BYTES = 256 * 1024
# Where a language model writes: some ten words a second on a CPU.
WRITING_SECONDS = 300.0


def write(path: Path, content: bytes) -> None:
    """Write a file, or standard output when the path is "-". A path that cannot be written is wrong usage."""
    if path == Path("-"):
        sys.stdout.buffer.write(content)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from None
