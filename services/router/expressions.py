"""Expressions of graphs: Google's Common Expression Language, type-checked against the descriptors when loaded.

The one module that knows the CEL library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.mesh import errors
from services.router.pipelines.engine import Scope
from services.router.pipelines.graph import Kind

_INPUT_TYPES = {
    Kind.TEXT: cel.Type.STRING,
    Kind.DATA: cel.Type.BYTES,
    Kind.NUMBER: cel.Type.DOUBLE,
    Kind.FLAG: cel.Type.BOOL,
}
_PROBLEM = re.compile(r"ERROR: <input>:\d+:\d+: (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([\w.]+)'")
_PLAIN_PATH = re.compile(r"[a-z]\w*(\.[a-z]\w*)+")


class ExpressionError(ValueError):
    """An expression that cannot be compiled. unknown: the first name in it that nothing declares, or ""."""

    def __init__(self, problem: str, unknown: str = "") -> None:
        super().__init__(problem)
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression that CEL evaluates.

    type: as CEL writes it, for example "STRING", "LIST<DOUBLE>" or a message's full name.
    """

    source: str
    type: str
    program: cel.Expression

    def evaluate(self, scope: Scope) -> Any:
        """Its value: None, bool, int, float, str, bytes, list, dict, timedelta, datetime or a message.

        Raises Internal when it has none, for example an index beyond the end of a list.
        """
        value = self.program.eval(data=scope)
        if value.type() == cel.Type.ERROR:
            # Without CEL's own text, which may quote what the user sent.
            raise errors.Internal(
                f"the expression {self.source!r} has no value for these inputs", reason="EXPRESSION_FAILED"
            )
        plain = value.plain_value()
        return bytes(plain) if isinstance(plain, bytearray) else plain


@dataclass(frozen=True, slots=True)
class Straight:
    """A path to bytes, followed without CEL, which would copy a recording of 10 MB five times over."""

    source: str
    variable: str
    fields: tuple[str, ...]
    type: str = "BYTES"

    def evaluate(self, scope: Scope) -> Any:
        """The bytes that are there."""
        place = scope[self.variable]
        for name in self.fields:
            place = getattr(place, name)
        return place


Expression = Computed | Straight


class Vocabulary:
    """The variables that an expression may use."""

    def __init__(self, inputs: Mapping[str, Kind], nodes: Mapping[str, Descriptor]) -> None:
        """inputs: by name. nodes: the type of each visible node's answer."""
        self._inputs = dict(inputs)
        self._nodes = dict(nodes)
        variables = {f"inputs.{name}": _INPUT_TYPES[kind] for name, kind in inputs.items()}
        variables |= {name: cel.Type(message.full_name) for name, message in nodes.items()}
        self._environment = cel.NewEnv(
            descriptor_pool.Default(),
            variables=variables,
            extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
        )

    def compile(self, source: str) -> Expression:
        """Compile an expression. Raises ExpressionError."""
        program = _compile(self._environment, source)
        kind = program.return_type().name()
        return self._straight(source.strip(), kind) or Computed(source, kind, program)

    def compile_field(self, message: Descriptor, field: str, source: str) -> Expression:
        """An expression for a field of a message: evaluates to a message with that one field set, or to bytes alone.

        Raises ExpressionError, also when its type does not fit the field.
        """
        expression = self.compile(source)
        # In brackets, lest it reach out of its field; on a line of its own, as it may end in a comment.
        program = _compile(self._environment, f"{message.full_name}{{{field}: (\n{source}\n)}}")
        if isinstance(expression, Straight) and message.fields_by_name[field].type == FieldDescriptor.TYPE_BYTES:
            return expression
        return Computed(source, message.full_name, program)

    def uses(self, source: str, name: str) -> bool:
        """Whether an expression that compiles here needs that input."""
        others = {other: kind for other, kind in self._inputs.items() if other != name}
        try:
            Vocabulary(others, self._nodes).compile(source)
        except ExpressionError:
            return True
        return False

    def _straight(self, source: str, kind: str) -> Straight | None:
        if kind != "BYTES" or not _PLAIN_PATH.fullmatch(source):
            return None
        root, *fields = source.split(".")
        if root == "inputs":
            return Straight(source, source, ())
        message: Descriptor | None = self._nodes[root]
        for name in fields:
            field = None if message is None else message.fields_by_name.get(name)
            # Maps, wrappers and lists mean something else to CEL than to Python.
            if field is None or field.is_repeated:
                return None
            message = field.message_type
        return Straight(source, root, tuple(fields)) if message is None else None


def _compile(environment: cel.Env, source: str) -> cel.Expression:
    try:
        return environment.compile(source)
    except RuntimeError as error:
        text = str(error)
        problem = _PROBLEM.search(text)
        unknown = _UNDECLARED.search(text)
        raise ExpressionError(problem[1] if problem else text, unknown[1] if unknown else "") from None
