"""Random plans: all blocks but streams, and calls whose delay, failure and answer are functions of the scope."""

import asyncio
import contextlib
import zlib
from collections import Counter, defaultdict

from hypothesis import strategies as st

from services.mesh import errors
from services.router.pipelines.plan import (
    CallStep,
    EnsembleStep,
    FallbackStep,
    MapStep,
    Member,
    ParallelStep,
    PrivacyStep,
    SequenceStep,
    SwitchStep,
    Way,
)
from tests.unit.router.pipelines.plans import Known, Masker, value

# A moment: what a call needs to end when it is cancelled. Times are sums of it, so none is rounded.
TICK = 1 / 64
NAMES = {errors.Unavailable: "UNAVAILABLE", errors.Exhausted: "RESOURCE_EXHAUSTED", errors.NotFound: "NOT_FOUND"}
LATE = "DEADLINE_EXCEEDED"
_MOST_BLOCKS = 14
_KINDS = ("sequence", "sequence", "parallel", "parallel", "switch", "map", "ensemble", "fallback", "privacy")


class World:
    """What happens in a run."""

    def __init__(self):
        self.calls = []
        self.began = []
        self.under_way = 0
        self.items = defaultdict(Counter)
        self.deadlines = []
        self.latest = float("-inf")


class Leaf:
    """A call. What it does is a function of what it reads: of which nodes that ran before, and items of which maps."""

    def __init__(self, world, node, reads, maps, *, slow, fails, error, rude):
        """slow: ticks at most. fails: one in so many, 0: none. maps: items, and how many there may be at once.

        rude: makes an error of its own of a cancellation.
        """
        self.world, self.node, self.reads, self.maps = world, node, reads, maps
        self.slow, self.fails, self.error, self.rude = slow, fails, error, rude

    def chance(self, scope, salt):
        read = [scope[name] for name in self.reads] + [scope[name] for name, _ in self.maps]
        return zlib.crc32(f"{salt} {self.node} {read}".encode())

    def key(self, scope):
        return self.node, self.chance(scope, "value")

    def answer(self, scope):
        if self.fails and self.chance(scope, "fails") % self.fails == 0:
            raise self.error("it failed")
        return self.chance(scope, "value") % 1000

    async def call(self, scope, deadline, run):
        world = self.world
        world.calls.append(self.key(scope))
        world.began.append(asyncio.get_running_loop().time())
        world.deadlines.append(deadline.monotonic_seconds)
        world.under_way += 1
        try:
            with self.counted(scope):
                await asyncio.sleep(TICK * (self.chance(scope, "slow") % (self.slow + 1)))
                return self.answer(scope)
        except asyncio.CancelledError:
            await asyncio.sleep(TICK)
            if self.rude:
                raise errors.Unavailable("rude") from None
            raise
        finally:
            world.under_way -= 1
            world.latest = max(world.latest, asyncio.get_running_loop().time() - deadline.monotonic_seconds)

    @contextlib.contextmanager
    def counted(self, scope):
        """Among the items of its maps."""
        around = ()
        taken = []
        for name, at_once in self.maps:
            items = self.world.items[name, around]
            items[scope[name]] += 1
            assert len(+items) <= at_once, name
            taken.append((items, scope[name]))
            around += (scope[name],)
        try:
            yield
        finally:
            for items, item in taken:
                items[item] -= 1


def holds(case):
    """A condition that looks random and is always the same."""
    return lambda scope: zlib.crc32(case.encode()) % 2


@st.composite
def plans(draw, *, pressure):
    """A step, the names that are visible after it, the world of its calls, and what is known of its durations.

    pressure: with timeouts, shares, quorums, learnt durations, different errors and rude calls.
    """
    maker = _Maker(draw, pressure)
    step, adds = maker.block((), (), 4)
    return step, adds, maker.world, maker.known


class _Maker:
    """Draws one plan."""

    def __init__(self, draw, pressure):
        self.pick = lambda *options: draw(st.sampled_from(options))
        self.draw, self.pressure = draw, pressure
        self.world, self.known = World(), Known()
        self.error = self.pick(*NAMES)
        self.nodes = self.blocks = 0

    def one_in(self, number):
        return self.draw(st.integers(1, number)) == number

    def name(self):
        self.nodes += 1
        return f"n{self.nodes}"

    def limits(self, node):
        limits = {"node": node, "empty": int, "optional": self.one_in(3)}
        if self.pressure:
            limits["timeout"] = self.pick(None, None, None, 2 * TICK, 9 * TICK)
            limits["share"] = self.pick(None, None, None, 0.25, 0.5)
            self.known.learn(node, self.pick(None, None, TICK, 8 * TICK), self.pick(None, None, None, None, 3 * TICK))
        return limits

    def block(self, reads, maps, depth):
        """A block and the names that it adds. reads: what it may see; maps: items that it is run for."""
        self.blocks += 1
        kind = self.pick("call", *_KINDS) if depth and self.blocks < _MOST_BLOCKS else "call"
        if kind in {"sequence", "parallel"}:
            return getattr(self, kind)(reads, maps, depth)
        step = getattr(self, kind)(reads, maps, depth)
        return step, (step.node, f"failed.{step.node}") if step.optional else (step.node,)

    def way(self, reads, maps, depth):
        run, adds = self.block(reads, maps, depth - 1)
        return Way(run=run, gives=value(adds[0]))

    def ways(self, reads, maps, depth, least=2):
        return [self.way(reads, maps, depth) for _ in range(self.draw(st.integers(least, 3)))]

    def sequence(self, reads, maps, depth):
        steps, adds = [], ()
        for _ in range(self.draw(st.integers(1, 3))):
            step, more = self.block(reads + adds, maps, depth - 1)
            steps.append(step)
            adds += more
        return SequenceStep(steps=tuple(steps)), adds

    def parallel(self, reads, maps, depth):
        made = [self.block(reads, maps, depth - 1) for _ in range(self.draw(st.integers(1, 3)))]
        quorum = self.draw(st.integers(1, len(made))) if self.pressure else len(made)
        adds = tuple(name for _, more in made for name in more)
        if quorum < len(made):
            adds += tuple(f"failed.{name}" for name in adds if "." not in name)
        return ParallelStep(steps=tuple(step for step, _ in made), quorum=quorum), tuple(dict.fromkeys(adds))

    def call(self, reads, maps, depth):
        node = self.name()
        leaf = Leaf(
            self.world,
            node,
            self.pick(reads, reads[-1:]),
            maps,
            slow=self.pick(0, 1, 5, 20, *([20, 20] if self.pressure else [])),
            fails=self.pick(0, 0, 0, 1, 2, 3),
            error=self.pick(*NAMES) if self.pressure else self.error,
            rude=self.pressure and self.one_in(2),
        )
        return CallStep(caller=leaf, **self.limits(node))

    def switch(self, reads, maps, depth):
        node = self.name()
        ways = self.ways(reads, maps, depth, 1)
        cases = tuple((holds(f"{node} {number}"), way) for number, way in enumerate(ways))
        return SwitchStep(
            cases=cases, otherwise=ways[0] if not self.pressure or self.one_in(2) else None, **self.limits(node)
        )

    def map(self, reads, maps, depth):
        node, at_once = self.name(), self.draw(st.integers(1, 3))
        item = f"item_{node}"
        items = [f"{node}.{number}" for number in range(self.draw(st.integers(0, 4)))]
        way = self.way(reads, (*maps, (item, at_once)), depth)
        return MapStep(items=lambda scope: items, item=item, most=9, at_once=at_once, way=way, **self.limits(node))

    def ensemble(self, reads, maps, depth):
        how = self.pick("vote", "best")
        score = value("inputs.score") if how == "best" else None
        members = tuple(
            Member(way=way, weight=self.pick(1.0, 2.0, 3.0), score=score) for way in self.ways(reads, maps, depth)
        )
        return EnsembleStep(members=members, combine=how, **self.limits(self.name()))

    def fallback(self, reads, maps, depth):
        codes = self.draw(st.frozensets(st.sampled_from([*NAMES.values(), LATE])))
        return FallbackStep(ways=tuple(self.ways(reads, maps, depth)), codes=codes, **self.limits(self.name()))

    def privacy(self, reads, maps, depth):
        return PrivacyStep(
            text=lambda scope: "Ada",
            masked="masked",
            types=(),
            language_code=None,
            masker=Masker(),
            way=self.way((*reads, "masked"), maps, depth),
            keep_marks=True,
            **self.limits(self.name()),
        )
