"""What the commands print: tables for people, JSON for programs.

Standard output has the answer and nothing else; everything around it goes to standard error.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

# No line is ever broken in a pipe or a file.
_UNBROKEN = 4000
_BAR = "━"


def console() -> Console:
    """Standard output: coloured on a terminal, plain and unbroken elsewhere. Square brackets in it mean nothing."""
    return _console(stderr=False)


def errors() -> Console:
    """Standard error, in the same way."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _UNBROKEN
    return made


def show(answer: Message, readable: RenderableType, *, as_json: bool) -> None:
    """Print an answer: as the gateway's JSON, or in a form for people."""
    if as_json:
        print(to_json(answer))
    else:
        console().print(readable)


def to_json(message: Message, *, on_one_line: bool = False) -> str:
    """A message as the gateway writes it: protobuf JSON with lowerCamelCase names, zeros present, bytes as base64."""
    return MessageToJson(
        message,
        always_print_fields_with_no_presence=True,
        ensure_ascii=False,
        indent=None if on_one_line else 2,
    )


def excerpt(text: str, width: int = 200) -> str:
    """The beginning of a text on one line, with "..." where something was left out."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."


def table(*columns: str, right: str = "") -> Table:
    """A table without lines. `right`: the names of its columns of numbers, separated by blanks."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        number = name in right.split()
        made.add_column(name.replace("_", " "), justify="right" if number else "left", no_wrap=number, overflow="fold")
    return made


def bar(share: float, width: int = 20) -> Text:
    """A bar of that share (0..1) of a width in characters; whatever is above nothing shows."""
    return Text(_BAR * (max(1, round(share * width)) if share > 0 else 0), style="cyan")


def span(begin: float, end: float, width: int) -> Text:
    """A bar from one share (0..1) of a width in characters to another: one line of a timeline."""
    first = min(width - 1, int(begin * width))
    last = max(first + 1, min(width, round(end * width)))
    return Text(" " * first + _BAR * (last - first), style="cyan")


def seconds(duration: Duration) -> float:
    """A protobuf duration as seconds."""
    return duration.seconds + duration.nanos / 1e9


def clock(value_seconds: float) -> str:
    """A time in a video or a recording: "1:05.3"."""
    minutes, rest = divmod(value_seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def milliseconds(value_seconds: float) -> str:
    """A time for people: "0.4 ms", "23 ms" or "1.52 s"."""
    if value_seconds >= 1:
        return f"{value_seconds:.2f} s"
    return f"{value_seconds * 1000:.0f} ms" if value_seconds >= 0.01 else f"{value_seconds * 1000:.1f} ms"  # noqa: PLR2004 - ten milliseconds
