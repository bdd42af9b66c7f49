"""What the requests say, checked."""

from __future__ import annotations

import re

from google.protobuf.duration_pb2 import Duration

from maas.models.v1 import rollout_pb2 as pb
from services.mesh import errors
from services.mesh.request import limited
from services.models.pipelines.rollout import Limits

# What Triton takes as the name of a model, and a file system as that of a folder.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_DAY_SECONDS = 86_400.0
_MAX_VERSION = 2**53
_DEFAULT = Limits()


def model_name(field: str, name: str) -> str:
    """A model's name. Raises InvalidArgument for what is none."""
    if not NAME.fullmatch(name):
        raise errors.InvalidArgument.field(field, "takes 1 to 128 letters, digits, _, . and -, a letter or digit first")
    return name


def version_number(field: str, version: int) -> int:
    """A version's number. Raises InvalidArgument for what is none."""
    if not 1 <= version <= _MAX_VERSION:
        raise errors.InvalidArgument.field(field, f"takes a number from 1, got {version}")
    return version


def limits(field: str, message: pb.RolloutLimits) -> Limits:
    """What a version must do. Raises InvalidArgument, naming the field that is outside its range."""
    increase = message.max_error_rate_increase
    return Limits(
        min_calls=limited(f"{field}.min_calls", message.min_calls, default=_DEFAULT.min_calls, low=1, high=1_000_000),
        min_seconds=_seconds(f"{field}.min_time", message.min_time, 0, _DAY_SECONDS)
        if message.HasField("min_time")
        else _DEFAULT.min_seconds,
        max_seconds=_seconds(f"{field}.max_time", message.max_time, 0.001, 30 * _DAY_SECONDS)
        if message.HasField("max_time")
        else _DEFAULT.max_seconds,
        max_error_rate_increase=_between(f"{field}.max_error_rate_increase", increase, 0, 1)
        if message.HasField("max_error_rate_increase")
        else _DEFAULT.max_error_rate_increase,
        max_latency_ratio=_between(f"{field}.max_latency_ratio", message.max_latency_ratio, 0, 1000)
        or _DEFAULT.max_latency_ratio,
    )


def _seconds(field: str, duration: Duration, low: float, high: float) -> float:
    return _between(field, duration.seconds + duration.nanos / 1e9, low, high)


def _between(field: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise errors.InvalidArgument.field(field, f"takes {low:g} to {high:g}, got {value:g}")
    return value
