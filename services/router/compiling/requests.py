"""Builds the request of a node from what ran before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.router.compiling.expressions import Computed, Expression, ExpressionError, Vocabulary
from services.router.pipelines.plan import Scope

_FLOATING = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
# Tells what is wrong at a path of the request.
Problem = Callable[[str, ExpressionError], Exception]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """parents: the fields that lead from the request to the message that the leaf is in."""

    parents: tuple[str, ...]
    field: str
    source: str
    expression: Expression


class RequestTemplate:
    """A request message with expressions where its values will be."""

    def __init__(
        self,
        message: Descriptor,
        structure: Mapping[str, Any],
        vocabulary: Vocabulary,
        problem: Problem,
        at: str = "request",
    ) -> None:
        """structure: nested as the message is, its leaves CEL expressions, numbers or truth values. at: its place.

        Raises what `problem` makes of an unknown field, or of an expression that does not compile or fit its field.
        """
        self._class = GetMessageClass(message)
        self._submessages: list[tuple[str, ...]] = []
        self._vocabulary = vocabulary
        self._problem = problem
        self._at = at
        self._leaves = tuple(self._walk(message, structure, ()))

    def build(self, scope: Scope) -> Message:
        """The request. Raises Internal when an expression has no value."""
        request = self._class()
        for path in self._submessages:
            _reach(request, path).SetInParent()
        for leaf in self._leaves:
            place = _reach(request, leaf.parents)
            value = leaf.expression.evaluate(scope)
            if isinstance(leaf.expression, Computed):
                place.MergeFrom(value)
            else:
                setattr(place, leaf.field, value)
        return request

    def _walk(self, message: Descriptor, structure: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[_Leaf]:
        for name, value in structure.items():
            here = (*path, str(name))
            where = ".".join((self._at, *here))
            field = message.fields_by_name.get(name)
            if field is None:
                known = ", ".join(message.fields_by_name)
                raise self._problem(where, ExpressionError(f"{message.full_name} has no such field; it has: {known}"))
            if isinstance(value, Mapping):
                if field.message_type is None or field.is_repeated:
                    raise self._problem(where, ExpressionError("takes a CEL expression, not fields"))
                self._submessages.append(here)
                yield from self._walk(field.message_type, value, here)
                continue
            try:
                source = _source(value, field)
                yield _Leaf(path, name, source, self._vocabulary.compile_field(message, name, source))
            except ExpressionError as error:
                raise self._problem(where, error) from None


def _source(value: object, field: FieldDescriptor) -> str:
    """A leaf as CEL: a YAML string is an expression; numbers (in their field's type) and truth values are meant."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ExpressionError("takes a number that is finite")
        # Protobuf's Struct has but one kind of number.
        whole = isinstance(value, int) or value.is_integer()
        return repr(float(value) if field.cpp_type in _FLOATING or not whole else int(value))
    if isinstance(value, str):
        return value
    raise ExpressionError("takes a CEL expression: a YAML string, number or truth value")


def _reach(message: Message, path: tuple[str, ...]) -> Message:
    for name in path:
        message = getattr(message, name)
    return message
