"""Compiles `stream` blocks: stages that take each other's items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from services.router.compiling.explain import first_node
from services.router.compiling.expressions import BOOL, DYN, INPUT_TYPES, Type, list_of, message_type
from services.router.compiling.ports import Callers
from services.router.methods import Method
from services.router.pipelines.graph import INPUT, Call, Collect, Named, Stream
from services.router.pipelines.plan import CollectStep, NamedStep, Stage, Step, StreamCallStep, StreamStep

if TYPE_CHECKING:
    from services.router.compiling.blocks import Blocks

Types = Mapping[str, Type]
_FOR_UNARY = ("retry", "hedge", "cache")


class Streams:
    """The stream blocks of one graph."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._problems = blocks.problems
        inputs = blocks.graph.inputs.items()
        self._inputs = {INPUT + name: INPUT_TYPES[each.kind] for name, each in inputs if each.stream}

    def stream(self, block: Stream, scope: Types) -> tuple[Callable[[Callers], Step], Types]:
        """A stream, and what it adds for those after it: lists that were collected, and what has failed."""
        stages: list[Named] = [each for each in block.stream if isinstance(each, Named)]
        for each in block.stream:
            if not isinstance(each, Named):
                self._problems.add(first_node(each), "", "is in a block of a stream, which has nodes only")
        after = {f"failed.{stage.node}": BOOL for stage in stages if stage.optional}
        before = {**scope, **after}
        for source in {stage.each: None for stage in stages if stage.each in self._inputs}:
            if source in self._blocks.items:
                self._problems.add("", source, "two streams cannot take one input")
            self._blocks.items[source] = {**before, source: self._inputs[source]}
        made = []
        ordered = self._in_order(stages)
        # What was wrong with them is told; lest all that uses them seems wrong too.
        for stage in stages:
            if stage not in ordered:
                self._blocks.items[stage.node] = {**scope, **dict.fromkeys((each.node for each in stages), DYN)}
                after |= {stage.node: DYN} if isinstance(stage, Collect) else {}
        for stage in ordered:
            items = self._blocks.items.get(stage.each or "", {})
            make, lineage, added = self._stage(stage, items, before)
            made.append(make)
            after |= added
            if lineage is not None:
                self._blocks.items[stage.node] = lineage
        return (lambda callers: StreamStep(stages=tuple(make(callers) for make in made))), after

    def _in_order(self, stages: list[Named]) -> list[Named]:
        """Sources before those that take from them; without those whose source is none."""
        by_name = {stage.node: stage for stage in stages}
        done: dict[str, Named] = {}
        circular: set[str] = set()
        for stage in stages:
            way: list[Named] = []
            at: Named | None = stage
            while at is not None and at.node not in done and at not in way:
                way.append(at)
                at = by_name.get(at.each or "") if self._has_source(at, by_name) else None
                if at is None and (way[-1].each or "") not in self._inputs:
                    way = []
            if at is not None and at in way:
                names = [each.node for each in way[way.index(at) :]]
                if at.node not in circular:
                    self._problems.add(at.node, "each", f"a cycle: {' -> '.join([*names, at.node])}")
                circular.update(names)
                continue
            for each in reversed(way):
                done[each.node] = each
        return list(done.values())

    def _has_source(self, stage: Named, by_name: Mapping[str, Named]) -> bool:
        source = stage.each or ""
        if not source:
            self._problems.add(stage.node, "each", "is required inside a stream: whose items does it take?")
        elif source in self._inputs:
            return False
        elif isinstance(by_name.get(source), Collect):
            self._problems.add(stage.node, "each", f"{source!r} collects; its list is there after the stream")
        elif source not in by_name:
            known = ", ".join([*self._inputs, *(name for name in by_name if name != stage.node)])
            self._problems.add(stage.node, "each", f"{source!r} is no stream; there are: {known or 'none'}")
        else:
            return True
        return False

    def _stage(self, stage: Named, items: Types, before: Types) -> tuple[Any, Types | None, Types]:
        """A stage, what its items see (none of what collects), and what is seen after the stream."""
        blocks = self._blocks
        when = blocks.condition(stage.node, "when", stage.when, items)

        def made(step: Callable[[Callers], Step]) -> Callable[[Callers], Stage]:
            def make(callers: Callers) -> Stage:
                bound = step(callers)
                assert isinstance(bound, NamedStep)  # noqa: S101 - nodes become steps with names
                return Stage(
                    step=bound,
                    source=stage.each or "",
                    when=when.evaluate if when else None,
                    at_once=stage.at_once,
                )

            return make

        if isinstance(stage, Collect):
            value = blocks.expression(stage.node, "value", stage.value, items)
            kind = list_of(value.type)
            collect, most = value.evaluate, stage.most
            step = lambda _callers: CollectStep(**blocks.named(stage, kind), value=collect, most=most)  # noqa: E731
            return made(step), None, {stage.node: kind}
        method = blocks.method(stage) if isinstance(stage, Call) else None
        if isinstance(stage, Call) and method is not None and not method.unary:
            return self._stream_call(stage, method, items, before, made)
        if isinstance(stage, Call) and method is None:
            return made(lambda _callers: StreamStep(stages=())), {**items, stage.node: DYN}, {}
        binder, added = blocks.node(stage, items)
        return made(binder), {**items, **added}, {}

    def _stream_call(
        self, stage: Call, method: Method, items: Types, before: Types, made: Any
    ) -> tuple[Any, Types | None, Types]:
        blocks, node = self._blocks, stage.node
        for policy in _FOR_UNARY:
            if policy in stage.model_fields_set:
                self._problems.add(node, policy, f"is for unary calls; {method.name} is a stream")
        if method.client_streaming and not stage.send:
            self._problems.add(node, "send", f"is required: {method.name} takes a stream of requests")
        if stage.send and not method.client_streaming:
            self._problems.add(node, "send", "is for calls with a stream of requests")
        if method.client_streaming and stage.at_once > 1:
            self._problems.add(node, "at_once", "is for what is done with each item; this is one call for all")
        first = (
            blocks.request(node, "request", method, stage.request, before if method.client_streaming else items)
            if stage.request or not method.client_streaming
            else None
        )
        sends = [
            (
                blocks.condition(node, f"send[{index}].when", send.when, items),
                blocks.request(node, f"send[{index}].request", method, send.request, items),
            )
            for index, send in enumerate(stage.send)
        ]
        kind = message_type(method.response)
        name = blocks.graph.name

        def step(callers: Callers) -> Step:
            return StreamCallStep(
                **blocks.named(stage, kind),
                caller=callers.stream(name, stage, method),
                first=first.build if first else None,
                sends=tuple((when.evaluate if when else None, build.build) for when, build in sends if build),
                per_item=not method.client_streaming,
            )

        lineage = {**(before if method.client_streaming else items), node: kind}
        return made(step), lineage, {}
