"""Which failures of a stream are worth another try, and after how long."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc.aio import AioRpcError

# Of a pause; what it comes to is cut anyway.
_DOUBLINGS = 30

# What a connection that broke ends calls with. A server of the mesh that means such a status tells a reason with it.
_OF_CONNECTIONS = (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
_STREAM_IDLE = "STREAM_IDLE"
# Where gRPC carries google.rpc.Status.
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Patience:
    """How often, and how long, another try is made.

    tries: after so many failures without progress the last one is raised. first_seconds: the pause before the second
    try, which doubles up to longest_seconds; a quarter of each is left to chance, so that clients that lost the same
    server do not come back at the same moment. A server that asks for a longer pause (RetryInfo) gets it.
    """

    tries: int = 10
    first_seconds: float = 0.25
    longest_seconds: float = 15.0


@dataclass
class Tries:
    """The tries of one transcript.

    place_seconds: for how long a place is waited for when the mesh cannot take one more stream (RESOURCE_EXHAUSTED)
    before its first answer.
    """

    patience: Patience
    place_seconds: float
    _began: float = field(default_factory=time.monotonic)
    _failures: int = 0

    def progress(self) -> None:
        """Something was accounted for: what failed before no longer counts."""
        self._failures = 0

    def pause_seconds(self, error: AioRpcError, *, answered: bool) -> float:
        """How long to wait before the next try. Raises the error when there is to be none.

        answered: whether the transcript has begun, so that it is worth more than a refusal.
        """
        code, reason, asked = error.code(), *_told(error)
        self._failures += 1
        doubled = self.patience.first_seconds * 2.0 ** min(self._failures - 1, _DOUBLINGS)
        pause = max(min(self.patience.longest_seconds, doubled), asked) * random.uniform(1, 1.25)  # noqa: S311 - spreads clients, hides nothing
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not answered:
            if time.monotonic() + pause - self._began > self.place_seconds:
                raise error
            return pause
        again = (
            code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
            # The call's longest time was over, not the transcript's.
            or (code is grpc.StatusCode.DEADLINE_EXCEEDED and reason != _STREAM_IDLE)
            or (code in _OF_CONNECTIONS and not reason)
        )
        if not again or self._failures >= self.patience.tries:
            raise error
        return pause


def _told(error: AioRpcError) -> tuple[str, float]:
    """The reason and the pause that the server told, "" and 0 without."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    found: tuple[Message, ...] = (info, retry)
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        for detail in Status.FromString(value).details:
            for message in found:
                if detail.Is(message.DESCRIPTOR):
                    detail.Unpack(message)
    return info.reason, float(retry.retry_delay.ToMilliseconds() / 1000)
