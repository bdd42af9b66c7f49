"""How the time of a graph is split: shares that were declared, and otherwise what nodes usually take."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.router.pipelines.plan import (
    Durations,
    EnsembleStep,
    FallbackStep,
    MapStep,
    NamedStep,
    ParallelStep,
    Plan,
    PrivacyStep,
    SequenceStep,
    Step,
    StreamStep,
    SwitchStep,
    Way,
)

Figure = Callable[[str, str], float | None]


class Budget:
    """The time that the steps of a plan need."""

    def __init__(self, plan: Plan, durations: Durations, whole_seconds: float) -> None:
        """whole_seconds: from the start of the graph to its deadline, of which shares are parts."""
        self._graph = plan.graph
        self._durations = durations
        self._whole = whole_seconds

    def reserve(self, steps: Iterable[Step]) -> float:
        """Seconds that steps one after the other are to be left: shares, or medians; 0 for what is not known."""
        return sum(self.needs(step) for step in steps)

    def needs(self, step: Step) -> float:
        """Seconds that a step is to be left."""
        if isinstance(step, NamedStep) and step.share is not None:
            return step.share * self._whole
        return _estimate(step, self._graph, self._durations.usual) or 0.0

    def allowed(self, step: Step, remaining: float, following: tuple[Step, ...]) -> float:
        """Seconds that a step may take, of those that remain, when others follow.

        What they need is kept for them. When there is too little for all, each gets in proportion to its need.
        """
        if not following:
            return remaining
        reserve = self.reserve(following)
        if reserve <= 0:
            return remaining
        own = self.needs(step)
        return max(remaining - reserve, remaining * own / (own + reserve) if own else remaining / 2)


def predicted_seconds(plan: Plan, durations: Durations) -> float | None:
    """What a run usually takes now: the medians of its nodes; None as long as none is known."""
    return _estimate(plan.step, plan.graph, durations.usual)


def shortest_seconds(plan: Plan, durations: Durations) -> float | None:
    """What a run takes at least, as far as that is known."""
    return _estimate(plan.step, plan.graph, durations.shortest)


def _estimate(step: Step, graph: str, figure: Figure) -> float | None:  # noqa: PLR0911 - one kind a line
    """What a step takes by what is known of its nodes: of a block as a whole when that ran, else of what is inside."""
    match step:
        case SequenceStep():
            return _sum(_estimate(each, graph, figure) for each in step.steps)
        case ParallelStep():
            known = sorted(_estimate(each, graph, figure) or 0.0 for each in step.steps)
            return known[step.quorum - 1] or None
        case StreamStep():
            # As long as its input.
            return None
        case NamedStep():
            known_whole = figure(graph, step.node)
            if known_whole is not None:
                return known_whole
            match step:
                case MapStep() | PrivacyStep():
                    return _way(step.way, graph, figure)
                case SwitchStep() | EnsembleStep() | FallbackStep():
                    # Which of them will run is not known, so nothing is.
                    return None
    return None


def _way(way: Way, graph: str, figure: Figure) -> float | None:
    return None if way.run is None else _estimate(way.run, graph, figure)


def _sum(seconds: Iterable[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if known else None
