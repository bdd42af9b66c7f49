"""What is being read from somewhere, within its bound, and the ways in which it may fail."""

from __future__ import annotations

from services.mesh import errors
from services.preprocessing.pipelines.fetch.places import Place

MAX_BYTES = 20 * 1024 * 1024

_RETRY_SECONDS = 2.0


class Body:
    """Bytes as they come, MAX_BYTES at most, whatever was announced."""

    def __init__(self, field: str) -> None:
        """field: names the address in errors."""
        self.field = field
        self._bytes = bytearray()

    def expect(self, size: int) -> None:
        """Raise InvalidArgument when so many bytes in all would be too many."""
        if size > MAX_BYTES:
            raise errors.InvalidArgument.field(self.field, f"leads to more than {MAX_BYTES} bytes")

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes. Raises InvalidArgument when there are too many."""
        self.expect(len(self._bytes) + len(piece))
        self._bytes += piece

    def whole(self) -> bytes:
        """All of it. Raises InvalidArgument when it is empty."""
        if not self._bytes:
            raise errors.InvalidArgument.field(self.field, "leads to 0 bytes")
        return bytes(self._bytes)


def absent(place: Place) -> errors.NotFound:
    """Nothing lies there."""
    return errors.NotFound(f"{place.name} has nothing at that address", reason="MEDIA_NOT_FOUND")


def silent(place: Place) -> errors.Unavailable:
    """It does not answer, or not to the end."""
    return errors.Unavailable(
        f"{place.name} does not answer; try again shortly",
        reason="MEDIA_UNAVAILABLE",
        retry_after_seconds=_RETRY_SECONDS,
    )


def refuses(place: Place, field: str, why: str) -> errors.InvalidArgument:
    """It answers that it will not give it."""
    return errors.InvalidArgument.field(field, f"is refused by {place.name} ({why})")
