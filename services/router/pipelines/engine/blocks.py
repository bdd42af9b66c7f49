"""What the blocks that have a value make of what is inside them."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.status import code_of
from services.router.pipelines.engine.combine import Answer, combine
from services.router.pipelines.engine.group import each, together
from services.router.pipelines.engine.marks import restore
from services.router.pipelines.plan import (
    EnsembleStep,
    FallbackStep,
    MapStep,
    Member,
    NamedStep,
    PrivacyStep,
    Run,
    Step,
    SwitchStep,
    Way,
)

# Halves of weights are halves although they are rounded.
_ROUNDING = 1 + 1e-9

Variables = dict[str, object]


class Execution(Protocol):
    """The run that a block is a part of."""

    run: Run

    async def block(self, step: Step, scope: Variables, deadline: Deadline) -> None:
        """Run what is inside."""
        ...


async def value_of(execution: Execution, step: NamedStep, scope: Variables, deadline: Deadline) -> object:
    """The value of a block that is no call. Raises MeshError."""
    match step:
        case SwitchStep():
            return await _switch(execution, step, scope, deadline)
        case MapStep():
            return await _map(execution, step, scope, deadline)
        case EnsembleStep():
            return await _ensemble(execution, step, scope, deadline)
        case FallbackStep():
            return await _fallback(execution, step, scope, deadline)
        case PrivacyStep():
            return await _privacy(execution, step, scope, deadline)
    raise TypeError(f"{type(step).__name__} has no value of its own")


async def _way(execution: Execution, way: Way, own: Variables, deadline: Deadline) -> object:
    """What a way gives. own: its scope, which nobody else uses."""
    if way.run is not None:
        await execution.block(way.run, own, deadline)
    return way.gives(own)


async def _switch(execution: Execution, step: SwitchStep, scope: Variables, deadline: Deadline) -> object:
    for condition, way in step.cases:
        if condition(scope):
            return await _way(execution, way, scope.copy(), deadline)
    if step.otherwise is None:
        raise errors.InvalidArgument("no condition holds for these inputs", reason="NO_CASE")
    return await _way(execution, step.otherwise, scope.copy(), deadline)


async def _map(execution: Execution, step: MapStep, scope: Variables, deadline: Deadline) -> object:
    items = step.items(scope)
    if len(items) > step.most:
        raise errors.InvalidArgument(
            f"its list has {len(items)} items, and takes {step.most} at most",
            reason="LIST_TOO_LONG",
            metadata={"limit": str(step.most)},
        )

    async def one(item: object) -> object:
        return await _way(execution, step.way, {**scope, step.item: item}, deadline)

    return await each(items, one, at_once=step.at_once)


async def _ensemble(execution: Execution, step: EnsembleStep, scope: Variables, deadline: Deadline) -> object:
    """Of the members that succeed, as long as they are at least half by weight; otherwise the first failure."""
    answers: dict[int, Answer] = {}
    failures: list[errors.MeshError] = []
    spare = sum(member.weight for member in step.members) / 2 * _ROUNDING

    async def ask(number: int, member: Member) -> None:
        nonlocal spare
        own = scope.copy()
        try:
            value = await _way(execution, member.way, own, deadline)
            answers[number] = Answer(value, member.weight, float(member.score(own)) if member.score else 0.0)
        except errors.MeshError as error:
            failures.append(error)
            spare -= member.weight
            if spare < 0:
                raise failures[0] from None

    await together([partial(ask, number, member) for number, member in enumerate(step.members)])
    return combine(step.combine, [answers[number] for number in sorted(answers)])


async def _fallback(execution: Execution, step: FallbackStep, scope: Variables, deadline: Deadline) -> object:
    *others, last = step.ways
    for way in others:
        try:
            return await _way(execution, way, scope.copy(), deadline)
        except errors.MeshError as error:
            if code_of(error).name not in step.codes:
                raise
    return await _way(execution, last, scope.copy(), deadline)


async def _privacy(execution: Execution, step: PrivacyStep, scope: Variables, deadline: Deadline) -> object:
    language = step.language_code(scope) if step.language_code else ""
    masked = await step.masker.mask(step.text(scope), step.types, language, deadline, execution.run)
    value = await _way(execution, step.way, {**scope, step.masked: masked.text}, deadline)
    return value if step.keep_marks else restore(str(value), masked.originals)
