"""Traffic policies at work: chooses variants, counts what they do, mirrors calls, and moves canaries on."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import grpc
import structlog

from maas.router.v1 import traffic_pb2 as pb
from services.mesh import errors, instruments
from services.mesh.deadline import Deadline
from services.mesh.priority import low_priority
from services.mesh.status import code_of
from services.router.compiling.expressions import Computed, Expression
from services.router.pipelines.documents import TRAFFIC, Document, Store
from services.router.pipelines.traffic.judge import Verdict, judge
from services.router.pipelines.traffic.policy import Policy, State, choose
from services.router.pipelines.traffic.tally import Tally
from services.router.traffic_documents import from_document, moved, read_policy, vocabulary

log = structlog.get_logger()

T = TypeVar("T")

# Mirrored calls at the same time; those beyond are left out.
_SHADOWS = 4
_SHADOW_SECONDS = 30.0
_CALLERS_FAULTS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
}
# Not the caller but the policy named what is missing, or cannot take the call.
VERSION_DIFFERS = "VERSION_DIFFERS"
_POLICYS_FAULTS = {"MODEL_NOT_FOUND", "GRAPH_NOT_FOUND", "GRAPH_VERSION_NOT_FOUND", "GRAPH_BROKEN", VERSION_DIFFERS}
# Nor the variant: a mirrored call is let in when a model has nothing else to do.
_NOBODYS_FAULTS = {"NO_IDLE_TIME"}

# In metrics, the variant that answers where a policy names none: each version of a graph has a name of its own.
_CURRENT = "current"

_Outcome = Literal["answered", "failed", "refused"]


@dataclass
class _Active:
    """A policy, and what its variants did since it was set.

    step: what the canary did in its step. others: what those did that it is compared with, mirrored calls apart.
    """

    policy: Policy
    message: pb.TrafficPolicy
    etag: str
    agreement: Expression | None
    score: Expression | None
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    step: Tally = field(default_factory=Tally)
    others: Tally = field(default_factory=Tally)
    step_began: float = field(default_factory=time.monotonic)
    writing: bool = False
    warned: bool = False


class Policies:
    """The policies that are kept, up to date; to be closed, which ends what runs in the background."""

    def __init__(self, store: Store | None) -> None:
        """store: None means that there are no policies."""
        self._store = store
        self._active: dict[str, _Active] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._shadows = 0
        if store:
            store.listen(self._changed)

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End what runs in the background."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def has(self, target: str) -> bool:
        """Whether a target has a policy."""
        return target in self._active

    async def through(
        self,
        target: str,
        routing_key: str,
        current: str,
        call: Callable[[str, Deadline | None], Awaitable[T]],
        *,
        mirrored: bool = True,
    ) -> T:
        """Call the variant that the policy of a target chooses.

        current: the variant that answers without a policy. call: takes the variant, and None; called once more in the
        background when the call is mirrored, with the deadline of that. mirrored: False for calls that cannot be made
        twice. Raises what the chosen variant raises.
        """
        active = self._active.get(target)
        if active is None:
            return await call(current, None)
        variant = choose(active.policy, routing_key) or current
        began = time.monotonic()
        try:
            answer = await call(variant, None)
        except BaseException as error:
            self._count(active, variant, _outcome(error))
            raise
        seconds = time.monotonic() - began
        self._count(active, variant, "answered", seconds, answer)
        shadow = active.policy.shadow
        if mirrored and shadow and shadow.variant != variant and random.random() < shadow.share:  # noqa: S311 - no secret
            self._mirror(active, answer, lambda deadline: call(shadow.variant, deadline), seconds)
        return answer

    def message(self, target: str) -> pb.TrafficPolicy:
        """A policy with what this replica saw. Raises NotFound."""
        active = self._active.get(target)
        if active is None:
            raise errors.NotFound.named("traffic policy", target, list(self._active))
        found = pb.TrafficPolicy()
        found.CopyFrom(active.message)
        for variant, tally in sorted(active.tallies.items()):
            found.statistics.append(_statistics(variant, tally))
        return found

    def targets(self) -> list[str]:
        """All targets that have a policy."""
        return sorted(self._active)

    def _changed(self, kind: str, name: str, document: Document | None) -> None:
        if kind != TRAFFIC:
            return
        if document is None:
            self._active.pop(name, None)
            return
        try:
            message = from_document(document)
            policy = read_policy(message)
            words = vocabulary(policy.target)
            agreement = words.compile(policy.shadow.agreement) if policy.shadow and policy.shadow.agreement else None
            score = words.compile(policy.canary.score) if policy.canary and policy.canary.score else None
        except (ValueError, errors.MeshError):
            log.warning("a traffic policy cannot be used", target=name)
            self._active.pop(name, None)
            return
        before = self._active.get(name)
        active = _Active(policy, message, document.etag, agreement, score)
        if before is not None and _same_but_for_canary(before.policy, policy):
            # The same policy a step further: the others are judged by all that they did.
            active.tallies, active.others = before.tallies, before.others
        self._active[name] = active

    def _count(
        self, active: _Active, variant: str, outcome: _Outcome, seconds: float = 0.0, answer: object = None
    ) -> None:
        """A call ended. seconds, answer: of one that was answered."""
        canary = active.policy.canary
        is_canary = canary is not None and canary.variant == variant
        score = self._value(active, active.score, {"answer": answer}) if outcome == "answered" else None
        for tally in (active.tallies[variant], active.step if is_canary else active.others):
            _add(tally, outcome, seconds)
            if score is not None:
                tally.score.add(score)
        told = variant if variant in active.policy.variants else _CURRENT
        instruments.VARIANT_CALLS.add(1, {"target": active.policy.target, "variant": told, "outcome": outcome})
        if canary is None or canary.state is not State.RUNNING or active.writing or not is_canary:
            return
        verdict = judge(canary, time.monotonic() - active.step_began, active.step, active.others)
        if verdict is not None:
            active.writing = True
            self._go(self._write(active, verdict))

    async def _write(self, active: _Active, verdict: Verdict) -> None:
        """Tell all replicas of a verdict. Another may have been first, which is as well."""
        assert self._store is not None  # noqa: S101 - without one there are no policies
        try:
            await self._store.put(TRAFFIC, active.policy.target, moved(active.message, verdict), etag=active.etag)
            log.info("a canary was judged", target=active.policy.target, state=verdict.state.value, step=verdict.step)
        except (errors.Aborted, errors.NotFound):
            pass
        except errors.MeshError:
            active.writing = False

    def _mirror(
        self, active: _Active, answer: object, call: Callable[[Deadline], Awaitable[object]], seconds: float
    ) -> None:
        """Call the shadow in the background. seconds: that the answer took."""
        if self._shadows >= _SHADOWS:
            return
        # Before the task begins: several answers may come before any does.
        self._shadows += 1

        async def mirror() -> None:
            assert active.policy.shadow is not None  # noqa: S101 - or nothing is mirrored
            tally = active.tallies[active.policy.shadow.variant]
            began = time.monotonic()
            # The caller's deadline is no measure: it may be all but over.
            limit = min(1 + 3 * seconds, _SHADOW_SECONDS)
            try:
                with low_priority():
                    async with asyncio.timeout(limit):
                        shadow = await call(Deadline.after(limit))
            except Exception as error:
                if not isinstance(error, (errors.MeshError, TimeoutError)):
                    log.exception("a mirrored call broke", target=active.policy.target)
                _add(tally, _outcome(error), 0.0)
                return
            tally.succeeded(time.monotonic() - began)
            agreed = float(answer == shadow)
            if active.agreement is not None:
                value = self._value(active, active.agreement, {"answer": answer, "shadow": shadow})
                agreed = 0.0 if value is None else min(max(value, 0.0), 1.0)
            tally.agreement.add(agreed)
            instruments.SHADOW_AGREEMENT.record(agreed, {"target": active.policy.target})

        self._go(mirror()).add_done_callback(self._mirrored)

    def _mirrored(self, _: asyncio.Task[None]) -> None:
        self._shadows -= 1

    def _go(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    @staticmethod
    def _value(active: _Active, expression: Expression | None, scope: Mapping[str, object]) -> float | None:
        """The finite number of an expression over answers; None without one, or when it has no value."""
        if not isinstance(expression, Computed):
            return None
        try:
            value = float(expression.evaluate(scope))
        except (errors.MeshError, TypeError, ValueError):
            value = math.nan
        if math.isfinite(value):
            return value
        if not active.warned:
            active.warned = True
            log.warning("an expression of a traffic policy gives no number", target=active.policy.target)
        return None


def _same_but_for_canary(one: Policy, other: Policy) -> bool:
    return (one.shares, one.shadow) == (other.shares, other.shadow) and (
        one.canary is not None and other.canary is not None and one.canary.variant == other.canary.variant
    )


def _outcome(error: BaseException) -> _Outcome:
    """Failed by the mesh's fault, or refused: by the caller's fault, or cancelled."""
    if isinstance(error, errors.MeshError):
        callers = code_of(error) in _CALLERS_FAULTS and error.reason not in _POLICYS_FAULTS
        refused = callers or error.reason in _NOBODYS_FAULTS
    else:
        refused = isinstance(error, asyncio.CancelledError)
    return "refused" if refused else "failed"


def _add(tally: Tally, outcome: _Outcome, seconds: float) -> None:
    match outcome:
        case "answered":
            tally.succeeded(seconds)
        case "failed":
            tally.failed()
        case "refused":
            tally.refuse()


def _statistics(variant: str, tally: Tally) -> pb.VariantStatistics:
    found = pb.VariantStatistics(
        variant=variant,
        calls=tally.calls,
        errors=tally.errors,
        score=tally.score.value,
        agreement=tally.agreement.value,
    )
    if tally.durations.count():
        found.p50.FromMicroseconds(round(tally.durations.quantile(0.5) * 1e6))
        found.p95.FromMicroseconds(round(tally.durations.quantile(0.95) * 1e6))
    return found
