"""Traffic policies as messages and as they are kept."""

from __future__ import annotations

import itertools
import math
import time

from google.protobuf.json_format import MessageToJson, Parse

from maas.router.v1 import traffic_pb2 as pb
from services.mesh import errors
from services.mesh.durations import seconds_within
from services.router import methods
from services.router.compiling.expressions import (
    DYN,
    Expression,
    ExpressionError,
    Type,
    Vocabulary,
    map_of,
    message_type,
)
from services.router.pipelines.documents import Document
from services.router.pipelines.traffic.judge import Verdict
from services.router.pipelines.traffic.policy import Canary, Policy, Shadow, Share, State

GRAPHS = "graphs/"
_MAX_TARGET, _MAX_VARIANT, _MAX_WEIGHT = 256, 128, 1_000_000
_MAX_SHARES, _MAX_STEPS = 8, 10
_STEPS = (0.05, 0.25, 0.5, 1.0)
_STATES = {
    pb.CANARY_STATE_RUNNING: State.RUNNING,
    pb.CANARY_STATE_PROMOTED: State.PROMOTED,
    pb.CANARY_STATE_ROLLED_BACK: State.ROLLED_BACK,
}
_NUMBERS = ("INT", "UINT", "DOUBLE", "BOOL", "DYN")


def read_policy(message: pb.TrafficPolicy) -> Policy:
    """A policy with its defaults. Raises InvalidArgument, naming the field."""
    _require_target(message.target)
    if not 1 <= len(message.shares) <= _MAX_SHARES:
        raise _wrong("shares", f"takes 1 to {_MAX_SHARES}, got {len(message.shares)}")
    shares = tuple(
        Share(
            # A model may be left to the service.
            _variant(f"shares[{index}].variant", share.variant, required=message.target.startswith(GRAPHS)),
            _weight(f"shares[{index}].weight", share.weight),
        )
        for index, share in enumerate(message.shares)
    )
    if len({share.variant for share in shares}) < len(shares):
        raise _wrong("shares", "names a variant twice")
    if not any(share.weight for share in shares):
        raise _wrong("shares", "needs one with a weight above 0")
    shadow = _shadow(message.shadow) if message.HasField("shadow") else None
    canary = _canary(message, shares) if message.HasField("canary") else None
    policy = Policy(message.target, shares, shadow, canary)
    words = vocabulary(policy.target)
    if shadow and shadow.agreement:
        _check(words, "shadow.agreement", shadow.agreement)
    if canary and canary.score:
        _check(words, "canary.score", canary.score)
    return policy


def vocabulary(target: str) -> Vocabulary:
    """What the expressions of a policy see: answers of the method, or maps of a graph's outputs."""
    kind: Type = map_of(DYN) if target.startswith(GRAPHS) else message_type(methods.find(target).response)
    return Vocabulary({"answer": kind, "shadow": kind})


def variants(policy: Policy) -> dict[str, str]:
    """The variants that a policy names, by their fields; "" is a model's default."""
    found = {f"shares[{index}].variant": share.variant for index, share in enumerate(policy.shares)}
    if policy.shadow:
        found["shadow.variant"] = policy.shadow.variant
    if policy.canary:
        found["canary.variant"] = policy.canary.variant
    return {field: variant for field, variant in found.items() if variant}


def from_document(document: Document) -> pb.TrafficPolicy:
    """The policy that is kept."""
    message = Parse(document.body, pb.TrafficPolicy(), ignore_unknown_fields=True)
    message.etag = document.etag
    return message


def to_body(message: pb.TrafficPolicy, before: pb.TrafficPolicy | None) -> str:
    """What is kept of a policy that is set. A canary that is new, or changed, begins."""
    kept = pb.TrafficPolicy()
    kept.CopyFrom(message)
    kept.ClearField("etag")
    kept.ClearField("statistics")
    kept.ClearField("canary_status")
    if kept.HasField("canary"):
        if before is not None and before.canary == kept.canary:
            kept.canary_status.CopyFrom(before.canary_status)
        else:
            kept.canary_status.state = pb.CANARY_STATE_RUNNING
            kept.canary_status.reason = "it was set"
            kept.canary_status.change_time.FromNanoseconds(time.time_ns())
    return MessageToJson(kept, indent=None)


def moved(message: pb.TrafficPolicy, verdict: Verdict) -> str:
    """What is kept of a policy whose canary was judged."""
    kept = pb.TrafficPolicy()
    kept.CopyFrom(message)
    kept.ClearField("etag")
    kept.canary_status.state = next(word for word, state in _STATES.items() if state is verdict.state)
    kept.canary_status.step = verdict.step
    kept.canary_status.reason = verdict.reason
    kept.canary_status.change_time.FromNanoseconds(time.time_ns())
    return MessageToJson(kept, indent=None)


def _require_target(target: str) -> None:
    field = "target"
    if not 1 <= len(target) <= _MAX_TARGET:
        raise _wrong(field, f"takes 1 to {_MAX_TARGET} characters")
    if target.startswith(GRAPHS):
        if "@" in target:
            raise _wrong(field, "names a graph without a version; the shares name versions")
        return
    try:
        method = methods.find(target)
    except LookupError as error:
        raise _wrong(field, f'is "graphs/NAME" or a method: {error.args[0]}') from None
    if not method.unary or "model" not in method.request.fields_by_name:
        raise _wrong(field, "is a method whose request names no model, or a stream")


def _shadow(message: pb.ShadowPolicy) -> Shadow:
    if not 0 < message.share <= 1:
        raise _wrong("shadow.share", f"takes above 0 to 1, got {message.share:g}")
    return Shadow(_variant("shadow.variant", message.variant), message.share, message.agreement)


def _canary(message: pb.TrafficPolicy, shares: tuple[Share, ...]) -> Canary:
    canary, status = message.canary, message.canary_status
    variant = _variant("canary.variant", canary.variant)
    if variant in {share.variant for share in shares}:
        raise _wrong("canary.variant", "is one of the shares already")
    steps = tuple(canary.steps) or _STEPS
    if len(steps) > _MAX_STEPS or not all(0 < step <= 1 for step in steps):
        raise _wrong("canary.steps", f"takes 1 to {_MAX_STEPS} shares above 0 to 1")
    if any(after <= before for before, after in itertools.pairwise(steps)):
        raise _wrong("canary.steps", "must rise")
    min_time = canary.min_time if canary.HasField("min_time") else None
    return Canary(
        variant=variant,
        steps=steps,
        min_calls=_whole("canary.min_calls", canary.min_calls, default=50, low=5),
        min_seconds=seconds_within("policy.canary.min_time", min_time, default=60, low=0.1, high=86400),
        max_error_rate_increase=_number(
            "canary.max_error_rate_increase", canary.max_error_rate_increase, default=0.02, low=0, high=1
        ),
        max_latency_ratio=_number("canary.max_latency_ratio", canary.max_latency_ratio, default=1.5, low=1, high=100),
        score=canary.score,
        max_score_decrease=_number(
            "canary.max_score_decrease", canary.max_score_decrease, default=0.05, low=0, high=math.inf
        ),
        state=_STATES.get(status.state, State.RUNNING),
        step=min(status.step, len(steps) - 1),
    )


def _check(words: Vocabulary, field: str, source: str) -> None:
    try:
        expression: Expression = words.compile(source)
    except ExpressionError as error:
        raise _wrong(field, str(error)) from None
    if expression.type.name() not in _NUMBERS:
        raise _wrong(field, f"is of type {expression.type.name()}; it must be a number or a truth value")


def _variant(field: str, value: str, *, required: bool = True) -> str:
    if required and not value:
        raise _wrong(field, "is required")
    if len(value) > _MAX_VARIANT:
        raise _wrong(field, f"takes {_MAX_VARIANT} characters at most")
    return value


def _weight(field: str, value: float) -> float:
    return _number(field, value, default=0, low=0, high=_MAX_WEIGHT)


def _number(field: str, value: float, *, default: float, low: float, high: float) -> float:
    if value == 0:
        return default
    if not low <= value <= high:
        raise _wrong(field, f"takes {low:g} to {high:g}, got {value:g}")
    return value


def _whole(field: str, value: int, *, default: int, low: int) -> int:
    return round(_number(field, value, default=default, low=low, high=1_000_000))


def _wrong(field: str, description: str) -> errors.InvalidArgument:
    return errors.InvalidArgument.field(f"policy.{field}", description)
