"""Plans whose calls are functions, and runs of them."""

from contextlib import contextmanager

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.router.pipelines.engine import Execution
from services.router.pipelines.plan import (
    CallStep,
    EnsembleStep,
    FallbackStep,
    MapStep,
    Masked,
    Member,
    ParallelStep,
    Plan,
    PrivacyStep,
    Run,
    SequenceStep,
    SwitchStep,
    Way,
)


class Caller:
    """Answers by a function of the scope; keeps what it was asked."""

    def __init__(self, do):
        self._do = do
        self.scopes = []
        self.deadlines = []

    async def call(self, scope, deadline, run):
        self.scopes.append(dict(scope))
        self.deadlines.append(deadline)
        return await self._do(scope)


class Known:
    """Durations that are known: for a node what it takes usually, and at least."""

    def __init__(self, usual=None, shortest=None):
        self._usual = usual or {}
        self._shortest = shortest or {}
        self.added = []

    def learn(self, node, usual, shortest):
        self._usual[node], self._shortest[node] = usual, shortest

    def usual(self, graph, node):
        return self._usual.get(node)

    def shortest(self, graph, node):
        return self._shortest.get(node)

    def add(self, graph, node, seconds):
        self.added.append((node, seconds))


class Spans:
    """Keeps what a tracer would be told."""

    def __init__(self):
        self.seen = []

    @contextmanager
    def node(self, graph, node):
        self.seen.append(f"{node} begins")
        try:
            yield
        except BaseException as error:
            self.seen.append(f"{node} {type(error).__name__}")
            raise
        self.seen.append(f"{node} ends")


class Masker:
    """Masks one name."""

    async def mask(self, text, types, language_code, deadline, run):
        return Masked(text.replace("Ada", "[PERSON_1]"), {"[PERSON_1]": "Ada"})


def value(name):
    return lambda scope: scope[name]


def call(node, do=None, **more):
    """A call that gives its name in capitals, or what a function gives."""

    async def name(scope):
        return node.upper()

    return CallStep(node=node, empty=str, caller=Caller(do or name), **more)


def fails(node, error=errors.Unavailable, **more):
    """A call that fails."""

    async def fail(scope):
        raise error("it failed")

    return call(node, fail, **more)


def sequence(*steps):
    return SequenceStep(steps=steps)


def parallel(*steps, quorum=None):
    return ParallelStep(steps=steps, quorum=len(steps) if quorum is None else quorum)


def way(run, gives=None):
    """A step, and what it gives: by default its value."""
    return Way(run=run, gives=gives or value(run.node))


def switch(node, *cases, otherwise=None, **more):
    return SwitchStep(node=node, empty=str, cases=cases, otherwise=otherwise, **more)


def mapping(node, items, run, *, at_once=1, most=100, **more):
    """A map over a list, whose item is called `item`."""
    step = {"items": lambda scope: items, "item": "item", "most": most, "at_once": at_once, "way": way(run)}
    return MapStep(node=node, empty=list, **step, **more)


def member(run, weight=1.0, score=None):
    return Member(way=way(run), weight=weight, score=score)


def ensemble(node, *members, combine="vote", **more):
    return EnsembleStep(node=node, empty=str, members=members, combine=combine, **more)


def fallback(node, *steps, codes=("UNAVAILABLE", "DEADLINE_EXCEEDED"), **more):
    return FallbackStep(node=node, empty=str, ways=tuple(map(way, steps)), codes=frozenset(codes), **more)


def privacy(node, run, gives=None, **more):
    """Masks inputs.text, which is called `masked` inside."""
    text = {"text": value("inputs.text"), "masked": "masked", "types": ("PERSON",), "language_code": None}
    return PrivacyStep(node=node, empty=str, **text, masker=Masker(), way=way(run, gives), **more)


def execution(step, seconds=60.0, *, outputs=(), known=None, spans=None):
    """A run that gives the values of these nodes."""
    plan = Plan(graph="g", version="1", step=step, stream_outputs=(), outputs={name: value(name) for name in outputs})
    made = Execution(plan, Run("g"), Deadline.after(seconds), durations=known or Known(), observer=spans or Spans())
    made.spans = made._observer
    return made


async def run(step, *outputs, seconds=60.0, known=None, **inputs):
    """The values of these nodes after a run."""
    return await execution(step, seconds, outputs=outputs, known=known).execute(inputs)
