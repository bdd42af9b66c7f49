"""Fields of requests in errors, as the caller wrote them."""

from __future__ import annotations

from services.mesh.errors import MeshError, Violation


def renamed(error: MeshError, old: str, new: str) -> MeshError:
    """The same error with another name for a field and what is in it: preprocessing's "image" may be "images[3]"."""

    def name(field: str) -> str:
        return new + field.removeprefix(old) if field == old or field.startswith((f"{old}.", f"{old}[")) else field

    message = error.message
    for violation in error.violations:
        if message.startswith(violation.field):
            message = name(violation.field) + message.removeprefix(violation.field)
    return type(error)(
        message,
        reason=error.reason,
        metadata=error.metadata,
        violations=[Violation(name(each.field), each.description) for each in error.violations],
        retry_after_seconds=error.retry_after_seconds,
    )
