"""Values that go into and come out of a graph, as text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.symbol_database import Default
from rich.console import RenderableType

# The messages that graphs give; known to protobuf once imported.
from maas.nlp.v1 import nlp_pb2
from maas.router.v1.router_pb2 import Value, ValueList
from maas.speech.v1 import speech_pb2
from maas.vision.v1 import vision_pb2
from services.cli.output import table

KNOWN = (nlp_pb2, speech_pb2, vision_pb2)


def parse(inputs: list[str]) -> dict[str, Value]:
    """Inputs as they were typed, by name.

    NAME=TEXT is a text, NAME=@FILE the bytes of a file (@- of standard input), NAME:=JSON a number, a truth value, a
    text or a list of them. Anything else, a missing file and a name given twice are wrong usage.
    """
    found: dict[str, Value] = {}
    for typed in inputs:
        name, equals, text = typed.partition("=")
        as_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise typer.BadParameter(f"takes NAME=TEXT, NAME=@FILE or NAME:=JSON, got {typed!r}")
        if name in found:
            raise typer.BadParameter(f"{name} is given twice")
        if as_json:
            found[name] = _from_json(name, text)
        else:
            found[name] = Value(data=_read(text[1:])) if text.startswith("@") else Value(text=text)
    return found


def _from_json(name: str, text: str) -> Value:
    try:
        return _value(name, json.loads(text))
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{name}: {text!r} is no JSON: {error.msg}") from None


def _value(name: str, found: Any) -> Value:
    if isinstance(found, bool):
        return Value(flag=found)
    if isinstance(found, int | float):
        return Value(number=found)
    if isinstance(found, str):
        return Value(text=found)
    if isinstance(found, list):
        return Value(list=ValueList(values=[_value(name, each) for each in found]))
    raise typer.BadParameter(f"{name}: takes a number, true, false, a text or a list of them")


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from None


def readable(value: Value) -> RenderableType:
    """A value for people: a text as it is, messages as a table, a line a message."""
    kind = value.WhichOneof("kind")
    if kind == "message":
        return _messages([value])
    if kind == "list":
        values = value.list.values
        if values and all(each.WhichOneof("kind") == "message" for each in values):
            return _messages(values)
        return "\n".join(f"- {_plain(each)}" for each in values) or "(nothing)"
    return _plain(value)


def _plain(value: Value) -> str:
    kind = value.WhichOneof("kind")
    if kind == "text":
        return value.text
    if kind == "data":
        return f"({len(value.data):,} bytes)"
    if kind == "number":
        return str(int(value.number)) if value.number.is_integer() else f"{value.number:.4g}"
    if kind == "flag":
        return "yes" if value.flag else "no"
    if kind == "list":
        return "[" + ", ".join(_plain(each) for each in value.list.values) + "]"
    return _cell(_opened(value.message)) if kind == "message" else "(nothing)"


def _messages(values: Any) -> RenderableType:
    """A table with a column a field. An answer that has a list of messages becomes a table of those."""
    opened = [_opened(value.message) for value in values]
    columns = list(dict.fromkeys(name for each in opened for name in each))
    if len(opened) == 1:
        repeated = [name for name, found in opened[0].items() if isinstance(found, list) and isinstance(found[0], dict)]
        if repeated:
            opened = opened[0][repeated[0]]
            columns = list(dict.fromkeys(name for each in opened for name in each))
    made = table(*columns)
    for each in opened:
        made.add_row(*[_cell(each.get(name, "")) for name in columns])
    return made


def _opened(message: AnyMessage) -> dict[str, Any]:
    """The fields of a packed message; of one that this command does not know, its type."""
    try:
        inner: Message = Default().GetSymbol(message.TypeName())()
    except KeyError:
        return {"type": message.TypeName(), "bytes": len(message.value)}
    message.Unpack(inner)
    return MessageToDict(inner, preserving_proto_field_name=True)


def _cell(found: Any) -> str:
    if isinstance(found, float):
        return f"{found:.2f}"
    if isinstance(found, dict):
        return " ".join(f"{name}={_cell(each)}" for name, each in found.items())
    if isinstance(found, list):
        return f"({len(found)})" if len(found) > 8 else " ".join(_cell(each) for each in found)  # noqa: PLR2004 - what a cell holds
    return str(found)
