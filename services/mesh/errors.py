"""What can go wrong, in words of the domain. `services.mesh.status` is the one table that makes them gRPC statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SHOWN_LETTERS = 500
# What graphs, models, voices and their versions may be called.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:/-]{0,99}")


def quoted(name: str) -> str:
    """A name out of a request, to be said in a message. What can be no name is not repeated: proxies keep messages."""
    return repr(name) if _NAME.fullmatch(name) else "that"


@dataclass(frozen=True)
class Violation:
    """One field of a request that breaks a rule.

    field: its path as the caller wrote it, for example "contents[3]".
    description: the rule, with its limit.
    """

    field: str
    description: str


class MeshError(Exception):
    """The root of all errors that a caller may see.

    Its message, reason and metadata are shown to callers: never a path, a stack trace or what a user sent.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        """Keep what the caller is told.

        message: a sentence for people.
        reason: an UPPER_SNAKE_CASE word for programs, which stays the same when the sentence changes.
        metadata: facts for programs, for example the models that exist.
        retry_after_seconds: how long to wait before the same call may succeed.
        """
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds


class Internal(MeshError):
    """The mesh is at fault."""


class InvalidArgument(MeshError):
    """The request breaks a rule of the contract, whatever state the mesh is in."""

    default_reason = "INVALID_ARGUMENT"

    @classmethod
    def field(cls, field: str, description: str) -> InvalidArgument:
        """One field breaks one rule."""
        return cls(f"{field}: {description}", violations=[Violation(field, description)])


class NotFound(MeshError):
    """Something that the request names does not exist."""

    default_reason = "NOT_FOUND"

    @classmethod
    def named(cls, kind: str, name: str, known: Sequence[str]) -> NotFound:
        """There is no such thing of that kind (a lower-case word, for example "model"); these exist."""
        listing = ", ".join(sorted(known)) or "none"
        # Errors travel in trailers, which have little room.
        if len(listing) > _SHOWN_LETTERS:
            listing = f"{listing[:_SHOWN_LETTERS].rpartition(', ')[0]}, and more"
        return cls(
            f"no {kind} is called {quoted(name)}; there are: {listing}",
            reason=f"{kind.upper().replace(' ', '_')}_NOT_FOUND",
            metadata={kind: name[:100], "known": listing},
        )


class AlreadyExists(MeshError):
    """Something of that name is there already."""

    default_reason = "ALREADY_EXISTS"


class Aborted(MeshError):
    """Somebody else changed it in the meantime; read it again and repeat."""

    default_reason = "ETAG_MISMATCH"


class FailedPrecondition(MeshError):
    """The mesh is not in the state that the call needs, and waiting will not change that."""

    default_reason = "FAILED_PRECONDITION"


class Unimplemented(MeshError):
    """This mesh cannot do it at all, for example because no model for it is deployed."""

    default_reason = "UNIMPLEMENTED"


class Exhausted(MeshError):
    """A queue or a quota is full."""

    default_reason = "QUEUE_FULL"


class Unavailable(MeshError):
    """A part of the mesh is starting, restarting or unreachable; the same call may succeed soon."""

    default_reason = "UNAVAILABLE"

    @classmethod
    def draining(cls, text: str) -> Unavailable:
        """The server stops; another one, which takes its place, can be asked at once."""
        return cls(text, reason="DRAINING", retry_after_seconds=0.1)


class DeadlineExceeded(MeshError):
    """The time that the caller gave is over."""

    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(MeshError):
    """The caller gave the call up."""

    default_reason = "CANCELLED"
