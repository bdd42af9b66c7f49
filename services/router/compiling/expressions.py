"""Expressions of graphs: Google's Common Expression Language, type-checked against the descriptors when loaded.

The one module that knows the CEL library.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from services.mesh import errors
from services.router.pipelines.graph import Kind
from services.router.pipelines.plan import Scope

# cel.Type, in annotations: the library has no types of its own.
Type = Any
INPUT_TYPES = {
    Kind.TEXT: cel.Type.STRING,
    Kind.DATA: cel.Type.BYTES,
    Kind.NUMBER: cel.Type.DOUBLE,
    Kind.FLAG: cel.Type.BOOL,
}
_PROBLEM = re.compile(r"ERROR: <input>:\d+:\d+: (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")
_PLAIN_PATH = re.compile(r"[a-z]\w*(\.[a-z]\w*)*")
# Comments as well, and these first: a text may have slashes, and a comment an apostrophe.
_TEXTS = re.compile(r"""//[^\n]*|\w?(\"{3}.*?\"{3}|'{3}.*?'{3}|"(\\.|[^"\\])*"|'(\\.|[^'\\])*')""", re.DOTALL)
_WORD = re.compile(r"\w+")
# Not what follows a value and a dot; a dot before all else is CEL's way to name a variable for certain.
_NAME = re.compile(r"(?<!\w)(?<![\w)\]}\"'?]\.)(?:(?:inputs|failed)\s*\.\s*)?[a-z_]\w*")


class ExpressionError(ValueError):
    """An expression that cannot be compiled. unknown: the first name in it that nothing declares, or ""."""

    def __init__(self, problem: str, unknown: str = "") -> None:
        super().__init__(problem)
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression that CEL evaluates.

    type: its name is as CEL writes it, for example "STRING", "LIST<DOUBLE>" or a message's full name.
    variables: those that it may use.
    """

    source: str
    type: Type
    program: cel.Expression
    variables: tuple[str, ...]

    def evaluate(self, scope: Scope) -> Any:
        """Its value: None, bool, int, float, str, bytes, list, dict, timedelta, datetime or a message.

        Raises Internal when it has none, for example an index beyond the end of a list, and InvalidArgument when it
        would see a text with a NUL.
        """
        seen = {name: self._taken(scope[name]) for name in self.variables if name in scope}
        value = self.program.eval(data=seen)
        if value.type() == cel.Type.ERROR:
            # Without CEL's own text, which may quote what the user sent.
            raise errors.Internal(
                f"the expression {self.source!r} has no value for these inputs", reason="EXPRESSION_FAILED"
            )
        return _as_bytes(value.plain_value())

    def _taken(self, value: object) -> object:
        """The same so that the library takes it whole: it ends bytes and texts, but no bytearray, at the first NUL."""
        match value:
            case bytes():
                return bytearray(value)
            case str() if "\0" in value:
                raise errors.InvalidArgument(
                    f"the expression {self.source!r} cannot take a text with a NUL character", reason="TEXT_WITH_NUL"
                )
            case list():
                return [self._taken(each) for each in value]
            case dict():
                return {self._taken(key): self._taken(each) for key, each in value.items()}
        return value


@dataclass(frozen=True, slots=True)
class Straight:
    """A path to bytes, followed without CEL, which would copy a recording of 10 MB five times over."""

    source: str
    variable: str
    fields: tuple[str, ...]
    type: Type = field(default_factory=lambda: cel.Type.BYTES)

    def evaluate(self, scope: Scope) -> Any:
        """The bytes that are there."""
        place = scope[self.variable]
        for name in self.fields:
            place = getattr(place, name)
        return place


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for an expression that was wrong, so that what else is wrong can be found."""

    type: Type = field(default_factory=lambda: cel.Type.DYN)

    def evaluate(self, scope: Scope) -> Any:
        """Never called: a graph with problems does not run."""
        raise AssertionError(scope)


Expression = Computed | Straight | Unusable
Evaluated = Expression
BOOL, DOUBLE, DYN, STRING = cel.Type.BOOL, cel.Type.DOUBLE, cel.Type.DYN, cel.Type.STRING


class Vocabulary:
    """The variables that an expression may use, and their types."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        """variables: as expressions write them: "inputs.recording", "hear", "failed.hear"."""
        self.variables = dict(variables)
        self._environment = cel.NewEnv(
            descriptor_pool.Default(),
            variables=self.variables,
            extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
        )

    def compile(self, source: str) -> Expression:
        """Compile an expression. Raises ExpressionError."""
        program = _compile(self._environment, source)
        kind = program.return_type()
        return self._straight(source.strip(), kind.name()) or Computed(source, kind, program, self._used(source))

    def compile_field(self, message: Descriptor, field: str, source: str) -> Expression:
        """An expression for a field of a message: evaluates to a message with that one field set, or to bytes alone.

        Raises ExpressionError, also when its type does not fit the field.
        """
        expression = self.compile(source)
        # In brackets, lest it reach out of its field; on a line of its own, as it may end in a comment.
        program = _compile(self._environment, f"{message.full_name}{{{field}: (\n{source}\n)}}")
        if isinstance(expression, Straight) and message.fields_by_name[field].type == FieldDescriptor.TYPE_BYTES:
            return expression
        return Computed(source, program.return_type(), program, self._used(source))

    def _used(self, source: str) -> tuple[str, ...]:
        """The variables that an expression may use: their names stand in it, at least as a word."""
        words = set(_WORD.findall(source))
        return tuple(name for name in self.variables if words.issuperset(name.split(".")))

    def _straight(self, source: str, kind: str) -> Straight | None:
        if kind != "BYTES" or not _PLAIN_PATH.fullmatch(source):
            return None
        if source in self.variables:
            return Straight(source, source, ())
        root, *fields = source.split(".")
        if root not in self.variables or not self.variables[root].is_message():
            return None
        message: Descriptor | None = descriptor_pool.Default().FindMessageTypeByName(self.variables[root].name())
        for name in fields:
            found = None if message is None else message.fields_by_name.get(name)
            # Maps, wrappers and lists mean something else to CEL than to Python.
            if found is None or found.is_repeated:
                return None
            message = found.message_type
        return Straight(source, root, tuple(fields)) if message is None else None


def names(source: str) -> set[str]:
    """The names in an expression that may be variables; those of its own macros among them."""
    return {"".join(match[0].split()) for match in _NAME.finditer(_TEXTS.sub('""', source))}


def unified(one: Type, other: Type) -> Type | None:
    """The type of values of both types; None when there is none."""
    environment = cel.NewEnv(descriptor_pool.Default(), variables={"one": one, "other": other})
    try:
        _compile(environment, "true ? one : other")
    except ExpressionError:
        return None
    # Of [] and a list of texts it is a list of texts.
    return other if "DYN" in one.name() else one


def message_type(message: Descriptor) -> Type:
    """The type of a message."""
    return cel.Type(message.full_name)


def list_of(kind: Type) -> Type:
    """The type of lists of a type."""
    return cel.Type.List(kind)


def map_of(kind: Type) -> Type:
    """The type of maps from texts to a type."""
    return cel.Type.Map(cel.Type.STRING, kind)


def item_type(kind: Type) -> Type | None:
    """The type of what a list has; None for what is no list."""
    if not kind.name().startswith("LIST<"):
        return None
    environment = cel.NewEnv(descriptor_pool.Default(), variables={"items": kind})
    item: Type = _compile(environment, "items[0]").return_type()
    return item


def _as_bytes(value: Any) -> Any:
    """The library gives bytes as a bytearray."""
    match value:
        case bytearray():
            return bytes(value)
        case list():
            return [_as_bytes(each) for each in value]
        case dict():
            return {key: _as_bytes(each) for key, each in value.items()}
    return value


_EMPTY: Mapping[str, Callable[[], object]] = {
    "STRING": str,
    "BYTES": bytes,
    "INT": int,
    "UINT": int,
    "DOUBLE": float,
    "BOOL": bool,
    "DURATION": dt.timedelta,
    "TIMESTAMP": lambda: dt.datetime.fromtimestamp(0, dt.UTC),
}


def empty(kind: Type) -> object:
    """The value of a type that stands for none: "", 0, False, a list, a map or a message without anything."""
    name = kind.name()
    if name in _EMPTY:
        return _EMPTY[name]()
    if kind.is_message():
        return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))()
    if name.startswith("LIST"):
        return []
    return {} if name.startswith("MAP") else None


def _compile(environment: cel.Env, source: str) -> cel.Expression:
    try:
        return environment.compile(source)
    except RuntimeError as error:
        text = str(error)
        problem = _PROBLEM.search(text)
        unknown = _UNDECLARED.search(text)
        raise ExpressionError(problem[1] if problem else text, unknown[1] if unknown else "") from None
