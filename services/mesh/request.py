"""Checks that requests of every service share."""

from __future__ import annotations

import re
import uuid
from collections.abc import Container
from typing import Protocol, TypeVar

from services.mesh import errors

Value = TypeVar("Value", bound=int)

# ISO 639, and what may follow: script, region and variants.
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,4}")


class HasRequestId(Protocol):
    """A request with an optional id."""

    request_id: str


def request_id(request: HasRequestId) -> str:
    """The request's id, to be echoed. Raises InvalidArgument when it is set and no UUID."""
    if request.request_id:
        try:
            uuid.UUID(request.request_id)
        except ValueError:
            raise errors.InvalidArgument.field("request_id", "must be a UUID") from None
    return request.request_id


def limited(field: str, value: int, *, default: int, low: int, high: int) -> int:
    """A whole number of a request, 0 meaning the default. Raises InvalidArgument outside low..high."""
    if value == 0:
        return default
    if not low <= value <= high:
        raise errors.InvalidArgument.field(field, f"takes {low} to {high}, got {value}")
    return value


def fraction(field: str, value: float, *, default: float) -> float:
    """A number of 0..1 of a request, 0 meaning the default. Raises InvalidArgument outside, NaN included."""
    if not 0 <= value <= 1:
        raise errors.InvalidArgument.field(field, f"takes 0 to 1, got {value:g}")
    return value or default


def one_of(field: str, value: Value, known: Container[int]) -> Value:
    """The value of an enum. Raises InvalidArgument for one that the contract does not know: proto3 lets it through."""
    if value not in known:
        raise errors.InvalidArgument.field(field, f"has no value {value}")
    return value


def language_tag(field: str, value: str, *, required: bool = False) -> str:
    """A BCP-47 tag of a request as given, or "". Raises InvalidArgument for what is none, or for "" when required."""
    if (value or required) and not _LANGUAGE_TAG.fullmatch(value):
        raise errors.InvalidArgument.field(field, "takes a BCP-47 tag such as en or zh-CN")
    return value
