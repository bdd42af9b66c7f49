"""How the time of a graph is split: shares that were declared, and otherwise what nodes usually take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.router.pipelines.plan import (
    Durations,
    MapStep,
    NamedStep,
    ParallelStep,
    Plan,
    PrivacyStep,
    SequenceStep,
    Step,
)

# Less is as good as nothing; seconds.
_LEAST = 0.001
# Seconds of a node, None when they are not known.
_Known = Callable[[NamedStep], float | None]


class Budget:
    """The time that the steps of a plan may take."""

    def __init__(self, plan: Plan, durations: Durations, whole_seconds: float) -> None:
        """whole_seconds: from the start of the graph to its deadline, of which shares are parts."""
        self._graph = plan.graph
        self._durations = durations
        self._whole = whole_seconds

    def following(self, steps: Sequence[Step]) -> list[float]:
        """Seconds for what comes after each of steps that run one after the other; 0 where they are not known."""
        kept = [0.0]
        for step in reversed(steps[1:]):
            kept.append(kept[-1] + (_estimate(step, self._needs) or 0.0))
        return kept[::-1]

    def allowed(self, step: NamedStep, remaining: float, keep: float) -> float:
        """Seconds that a node may take, of those that remain. keep: seconds that are for what follows.

        A declared share is its own; otherwise what follows is left its time. When there is too little for both, each
        gets in proportion to its need, or half as long as that of the node is not known.
        """
        if step.share is not None:
            allowed = min(remaining, step.share * self._whole)
        else:
            allowed = remaining - keep
            if keep > 0 and allowed < ((own := self._durations.usual(self._graph, step.node)) or _LEAST):
                allowed = max(allowed, remaining * (own / (own + keep) if own else 0.5))
        return allowed if step.timeout is None else min(allowed, step.timeout)

    def shortest(self, step: NamedStep) -> float | None:
        """Seconds that a node takes at least; None when they are not known."""
        return _shortest(step, self._graph, self._durations)

    def _needs(self, step: NamedStep) -> float | None:
        if step.share is not None:
            return step.share * self._whole
        return self._durations.usual(self._graph, step.node)


def predicted_seconds(plan: Plan, durations: Durations) -> float | None:
    """What a run usually takes now: the medians of its nodes; None as long as none is known.

    A stream adds nothing, since it takes as long as what it is sent.
    """
    return _estimate(plan.step, lambda step: durations.usual(plan.graph, step.node))


def shortest_seconds(plan: Plan, durations: Durations) -> float | None:
    """What a run takes at least, as far as that is known."""

    def known(step: NamedStep) -> float | None:
        return 0.0 if step.optional else _shortest(step, plan.graph, durations)

    return _estimate(plan.step, known)


def _shortest(step: NamedStep, graph: str, durations: Durations) -> float | None:
    # How long a map takes is a matter of its list.
    return None if isinstance(step, MapStep) else durations.shortest(graph, step.node)


def _estimate(step: Step, known: _Known) -> float | None:
    """What a step takes by what is known of its nodes: of a block as a whole when that ran, else of what is inside."""
    match step:
        case SequenceStep():
            seconds = [each for each in (_estimate(each, known) for each in step.steps) if each is not None]
            return sum(seconds) if seconds else None
        case ParallelStep():
            return sorted(_estimate(each, known) or 0.0 for each in step.steps)[step.quorum - 1] or None
        case NamedStep():
            whole = known(step)
            if whole is None and isinstance(step, MapStep | PrivacyStep) and step.way.run is not None:
                return _estimate(step.way.run, known)
            # Of a choice it is not known which way is taken.
            return whole
    return None
