"""What a plan gives when all of it happens one after the other and takes no time."""

from services.mesh import errors
from services.router.pipelines.engine.combine import Answer, combine
from services.router.pipelines.plan import (
    CallStep,
    EnsembleStep,
    FallbackStep,
    MapStep,
    ParallelStep,
    PrivacyStep,
    SequenceStep,
    SwitchStep,
)
from tests.unit.router.pipelines.random_plans import NAMES


class Reference:
    """Runs a step; keeps the calls that it makes, and whether one failed."""

    def __init__(self):
        self.calls = []
        self.failed = False
        self._kinds = {
            CallStep: self._call,
            SwitchStep: self._switch,
            MapStep: self._map,
            EnsembleStep: self._ensemble,
            FallbackStep: self._fallback,
            PrivacyStep: self._privacy,
        }

    def run(self, step, scope):
        """Put the values of its nodes into the scope."""
        if isinstance(step, SequenceStep):
            for each in step.steps:
                self.run(each, scope)
        elif isinstance(step, ParallelStep):
            _all(lambda each: self.run(each, scope), step.steps)
        else:
            self._node(step, scope)

    def _node(self, step, scope):
        failed = False
        try:
            scope[step.node] = self._kinds[type(step)](step, scope)
        except errors.MeshError:
            self.failed = True
            if not step.optional:
                raise
            scope[step.node], failed = step.empty(), True
        if step.optional:
            scope[f"failed.{step.node}"] = failed

    def _way(self, way, scope):
        scope = dict(scope)
        self.run(way.run, scope)
        return way.gives(scope)

    def _call(self, step, scope):
        self.calls.append(step.caller.key(scope))
        return step.caller.answer(scope)

    def _switch(self, step, scope):
        way = next((way for condition, way in step.cases if condition(scope)), step.otherwise)
        if way is None:
            raise errors.InvalidArgument("none")
        return self._way(way, scope)

    def _map(self, step, scope):
        return _all(lambda item: self._way(step.way, {**scope, step.item: item}), step.items(scope))

    def _ensemble(self, step, scope):
        answers, failures = [], []
        for member in step.members:
            try:
                answers.append(Answer(self._way(member.way, scope), member.weight))
            except errors.MeshError as error:
                failures.append(error)
        if 2 * sum(each.weight for each in answers) < sum(each.weight for each in step.members):
            raise failures[0]
        return combine(step.combine, answers)

    def _fallback(self, step, scope):
        for way in step.ways[:-1]:
            try:
                return self._way(way, scope)
            except errors.MeshError as error:
                if NAMES.get(type(error)) not in step.codes:
                    raise
        return self._way(step.ways[-1], scope)

    def _privacy(self, step, scope):
        return self._way(step.way, {**scope, "masked": "[PERSON_1]"})


def _all(work, items):
    """Of each item what is made of it; the first failure after all of them."""
    results, failures = [], []
    for item in items:
        try:
            results.append(work(item))
        except errors.MeshError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return results
