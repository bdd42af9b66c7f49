"""What is sent into a graph's streams: files in pieces, standard input as it comes, and what was typed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import typer

from maas.router.v1.graph_pb2 import Graph
from maas.router.v1.router_pb2 import Value
from services.cli.sounds import comes_live, reader

_STEPS_A_SECOND = 10
_OPTION = "--stream"


def sources(graph: Graph, typed: list[str], *, live: bool) -> dict[str, Iterator[Value]]:
    """The items of each stream that a graph takes, by name.

    typed: NAME=@FILE, NAME=@- or NAME=TEXT each; several of one name follow each other. live: files of sound and video
    as fast as they play. What is no stream of the graph, a stream that is missing, a file that cannot be read and an
    item that is not of the stream's kind are wrong usage.
    """
    kinds = {name: given.kind for name, given in graph.inputs.items() if given.stream}
    places: dict[str, list[str]] = {}
    for text in typed:
        name, sign, place = text.partition("=")
        if not (name and sign and place):
            raise _wrong(f"takes NAME=@FILE, NAME=@- or NAME=TEXT, got {text!r}")
        if name not in kinds:
            there_are = ", ".join(sorted(kinds)) or "none"
            raise _wrong(f"{name} is no stream that {graph.name} takes; there are: {there_are}")
        places.setdefault(name, []).append(place)
    if missing := sorted(kinds.keys() - places.keys()):
        raise _wrong(f"{graph.name} takes the stream {missing[0]}: give {_OPTION} {missing[0]}=@FILE")
    if sum(place == "@-" for each in places.values() for place in each) > 1:
        raise _wrong("standard input can be read only once; @- is given more than once")
    return {
        name: _following([_items(name, kinds[name], place, live=live) for place in places[name]]) for name in places
    }


def _following(several: list[Iterator[Value]]) -> Iterator[Value]:
    for each in several:
        yield from each


def _items(name: str, kind: str, place: str, *, live: bool) -> Iterator[Value]:
    """What is wrong is told now, not when the first item is taken."""
    if not place.startswith("@"):
        return iter([_item(name, kind, place)])
    file = _opened(place[1:])
    if kind != "data":
        return (_item(name, kind, line) for line in _lines(file))
    rate = _bytes_per_second(Path(place[1:])) if live and not comes_live(file) else 0.0
    return (Value(data=chunk) for chunk in (_paced(file, rate) if rate else _chunks(file)))


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}") from None


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """What there is, as it comes. Holds the file, whose reader knows but its descriptor."""
    yield from iter(reader(file), b"")


def _lines(file: BinaryIO) -> Iterator[str]:
    """The lines that are not blank, each as soon as it is there."""
    kept = b""
    for chunk in _chunks(file):
        *whole, kept = (kept + chunk).split(b"\n")
        yield from (line.decode(errors="replace").strip() for line in whole if line.strip())
    if kept.strip():
        yield kept.decode(errors="replace").strip()


def _paced(file: BinaryIO, bytes_per_second: float) -> Iterator[bytes]:
    begin, sent = time.monotonic(), 0
    while chunk := file.read(max(1, int(bytes_per_second / _STEPS_A_SECOND))):
        sent += len(chunk)
        time.sleep(max(0.0, begin + sent / bytes_per_second - time.monotonic()))
        yield chunk


def _bytes_per_second(path: Path) -> float:
    """Of a file that plays, on average."""
    import av  # noqa: PLC0415 - FFmpeg is only for those who pace a file

    try:
        with av.open(str(path)) as container:
            seconds = (container.duration or 0) / av.time_base
    except av.FFmpegError:
        seconds = 0.0
    if not seconds:
        raise _wrong(f"{path} does not tell how long it plays; leave out --live")
    return path.stat().st_size / seconds


def _item(name: str, kind: str, text: str) -> Value:
    """An item that was typed, or stands on a line."""
    if kind == "text":
        return Value(text=text)
    if kind == "data":
        raise _wrong(f"{name} takes data: give {_OPTION} {name}=@FILE")
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if isinstance(found, bool) and kind == "flag":
        return Value(flag=found)
    if isinstance(found, int | float) and not isinstance(found, bool) and kind == "number":
        return Value(number=found)
    raise _wrong(f"{name} takes {'true or false' if kind == 'flag' else 'numbers'}, got {text!r}")


def _wrong(text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint=_OPTION)
