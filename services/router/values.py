"""Between values of the contract (maas.router.v1.Value) and those of Python and CEL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from maas.router.v1 import router_pb2 as pb
from services.mesh import errors
from services.router.pipelines.graph import Input, Kind

KINDS: dict[Kind, pb.ValueKind.ValueType] = {
    Kind.TEXT: pb.VALUE_KIND_TEXT,
    Kind.DATA: pb.VALUE_KIND_DATA,
    Kind.NUMBER: pb.VALUE_KIND_NUMBER,
    Kind.FLAG: pb.VALUE_KIND_FLAG,
}
_TYPES: dict[str, pb.ValueKind.ValueType] = {
    "STRING": pb.VALUE_KIND_TEXT,
    "BYTES": pb.VALUE_KIND_DATA,
    "INT": pb.VALUE_KIND_NUMBER,
    "UINT": pb.VALUE_KIND_NUMBER,
    "DOUBLE": pb.VALUE_KIND_NUMBER,
    "BOOL": pb.VALUE_KIND_FLAG,
    "DURATION": pb.VALUE_KIND_MESSAGE,
    "TIMESTAMP": pb.VALUE_KIND_MESSAGE,
}
# What is told back of unknown names, as errors travel in small trailers.
_SHOWN_LETTERS = 64
_SHOWN_NAMES = 8
# Items are kept in buffers of a few each.
MAX_ITEM_TEXT_BYTES = 1024 * 1024
# Expressions would cut it off there.
_NO_TEXT = "holds a zero character, which no text has; give it as data"
_LIST = re.compile(r"LIST<(.+)>")


def kind_of_type(name: str) -> pb.ValueKind.ValueType:
    """The kind of a CEL type, as `Expression.type` writes it; unspecified when it has none in the contract."""
    inner = _LIST.fullmatch(name)
    if inner:
        return pb.VALUE_KIND_LIST if kind_of_type(inner[1]) else pb.VALUE_KIND_UNSPECIFIED
    if "." in name and "<" not in name:
        return pb.VALUE_KIND_MESSAGE
    return _TYPES.get(name, pb.VALUE_KIND_UNSPECIFIED)


def to_value(plain: object) -> pb.Value:  # noqa: PLR0911 - one kind a line
    """A value of CEL as the contract has it. Whole numbers are exact up to 2^53."""
    match plain:
        case bool():
            return pb.Value(flag=plain)
        case int() | float():
            return pb.Value(number=plain)
        case str():
            return pb.Value(text=plain)
        case bytes():
            return pb.Value(data=plain)
        case list():
            return pb.Value(list=pb.ValueList(values=[to_value(each) for each in plain]))
        case dt.timedelta():
            duration = Duration()
            duration.FromTimedelta(plain)
            return to_value(duration)
        case dt.datetime():
            timestamp = Timestamp()
            timestamp.FromDatetime(plain)
            return to_value(timestamp)
        case Message():
            packed = Any()
            packed.Pack(plain)
            return pb.Value(message=packed)
    raise TypeError(f"no kind of value for {type(plain).__name__}")


def read_inputs(declared: Mapping[str, Input], given: Mapping[str, pb.Value]) -> dict[str, object]:
    """The values of a graph's inputs that are no streams, defaults filled in.

    Raises InvalidArgument with a violation for each input that is missing, unknown, a stream or of the wrong kind.
    """
    unknown = [name for name in given if name not in declared]
    violations = [
        errors.Violation(
            f"inputs.{name[:_SHOWN_LETTERS]}", f"is no input of this graph; it takes: {', '.join(declared) or 'none'}"
        )
        for name in unknown[:_SHOWN_NAMES]
    ]
    values: dict[str, object] = {}
    for name, each in declared.items():
        if each.stream:
            if name in given:
                violations.append(errors.Violation(f"inputs.{name}", "is a stream; send its items"))
            continue
        value = _plain(given[name]) if name in given else each.otherwise
        if name not in given and each.default is None:
            violations.append(errors.Violation(f"inputs.{name}", f"is missing; give it as {each.kind}"))
        elif not each.kind.admits(value):
            violations.append(errors.Violation(f"inputs.{name}", f"must be given as {each.kind}"))
        elif isinstance(value, str) and "\0" in value:
            violations.append(errors.Violation(f"inputs.{name}", _NO_TEXT))
        values[name] = _as_kind(each.kind, value)
    if violations:
        text = "; ".join(f"{violation.field} {violation.description}" for violation in violations)
        raise errors.InvalidArgument(text, violations=violations)
    return values


def read_item(name: str, declared: Input, given: pb.Value) -> object:
    """An item of a stream. Raises InvalidArgument when it is of the wrong kind."""
    value = _plain(given)
    if not declared.kind.admits(value):
        raise errors.InvalidArgument.field(f"inputs.{name}", f"takes items given as {declared.kind}")
    if isinstance(value, str):
        if len(value.encode()) > MAX_ITEM_TEXT_BYTES:
            text = f"takes texts of {MAX_ITEM_TEXT_BYTES} bytes at most; send several, or data"
            raise errors.InvalidArgument.field(f"inputs.{name}", text)
        if "\0" in value:
            raise errors.InvalidArgument.field(f"inputs.{name}", _NO_TEXT)
    return _as_kind(declared.kind, value)


def _as_kind(kind: Kind, value: object) -> object:
    return float(value) if isinstance(value, int) and kind is Kind.NUMBER else value


def _plain(value: pb.Value) -> object:
    kind = value.WhichOneof("kind")
    return None if kind is None else getattr(value, kind)
