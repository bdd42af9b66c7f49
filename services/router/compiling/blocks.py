"""Compiles the blocks of a graph: each sees what has ended before it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.router import methods
from services.router.compiling.arms import Arms, Maker
from services.router.compiling.explain import explain, first_node
from services.router.compiling.expressions import (
    BOOL,
    DYN,
    Expression,
    ExpressionError,
    Type,
    Unusable,
    Vocabulary,
    empty,
    message_type,
)
from services.router.compiling.ports import Callers
from services.router.compiling.problems import Problems
from services.router.compiling.requests import RequestTemplate
from services.router.compiling.streams import Streams
from services.router.compiling.uses import does_something
from services.router.methods import Method
from services.router.pipelines.graph import (
    Block,
    Call,
    Ensemble,
    Fallback,
    Graph,
    Map,
    Named,
    Parallel,
    Privacy,
    Sequence,
    Stream,
    Switch,
)
from services.router.pipelines.plan import (
    CallStep,
    ParallelStep,
    SequenceStep,
    Step,
)

Binder = Callable[[Callers], Step]
Types = Mapping[str, Type]


class Blocks:
    """The blocks of one graph. methods: of each call, by node. items: what the items of each stream see, by source."""

    def __init__(self, graph: Graph, problems: Problems) -> None:
        self.methods: dict[str, Method] = {}
        self.items: dict[str, Types] = {}
        self.graph = graph
        self.problems = problems
        self._vocabularies: dict[tuple[tuple[str, str], ...], Vocabulary] = {}

    def top(self, block: Block, scope: Types) -> tuple[Binder, Types]:
        """A block where streams may be, and what is seen after it."""
        if isinstance(block, Stream):
            binder, adds = Streams(self).stream(block, scope)
            return binder, {**scope, **adds}
        if not isinstance(block, Sequence):
            binder, adds = self.block(block, scope)
            return binder, {**scope, **adds}
        binders = []
        for each in block.sequence:
            binder, scope = self.top(each, scope)
            binders.append(binder)
        return _sequence(binders), scope

    def block(self, block: Block, scope: Types) -> tuple[Binder, Types]:
        """A block inside of which no stream may be, and what it adds for those after it."""
        match block:
            case Named():
                return self._placed(block, scope)
            case Sequence():
                binders: list[Binder] = []
                adds: dict[str, Type] = {}
                for each in block.sequence:
                    binder, added = self.block(each, {**scope, **adds})
                    binders.append(binder)
                    adds |= added
                return _sequence(binders), adds
            case Parallel():
                return self._parallel(block, scope)
        self.problems.add(first_node(block), "", "is in a stream, which stands at the top, or in a sequence at the top")
        return _sequence([]), {}

    def node(self, node: Named, scope: Types) -> tuple[Binder, Types]:
        """A node that runs once, and what it adds."""
        arms = Arms(self)
        kinds: dict[type[Named], Callable[[Any, Types], tuple[Maker, Type]]] = {
            Call: self._call,
            Switch: arms.switch,
            Map: arms.map,
            Ensemble: arms.ensemble,
            Fallback: arms.fallback,
            Privacy: arms.privacy,
        }
        if type(node) not in kinds:
            self.problems.add(node.node, "collect", "stands inside a stream only")
            return _sequence([]), {node.node: DYN}
        make, kind = kinds[type(node)](node, scope)
        return (lambda callers: make(callers, self.named(node, kind))), self.added(node, kind)

    def named(self, node: Named, kind: Type) -> dict[str, Any]:
        """What every step with a name has."""
        return {
            "node": node.node,
            "empty": lambda: empty(kind),
            "optional": node.optional,
            "timeout": node.timeout,
            "share": node.share,
        }

    @staticmethod
    def added(node: Named, kind: Type) -> dict[str, Type]:
        """What a node adds to the scope."""
        return {node.node: kind, **({f"failed.{node.node}": BOOL} if node.optional else {})}

    def method(self, node: Call) -> Method | None:
        """The method of a call; None when there is no such, which is a problem."""
        try:
            found = methods.find(node.call)
        except LookupError as error:
            self.problems.add(node.node, "call", str(error.args[0]))
            return None
        self.methods[node.node] = found
        return found

    def request(
        self, node: str, path: str, method: Method, structure: Mapping[str, Any], scope: Types
    ) -> RequestTemplate | None:
        """A request of a method; None when something is wrong with it."""

        def problem(where: str, error: ExpressionError) -> ExpressionError:
            self.problems.add(node, where, explain(self.graph, error, node))
            return error

        try:
            return RequestTemplate(method.request, structure, self.vocabulary(scope), problem, path)
        except ExpressionError:
            return None

    def expression(self, node: str, path: str, source: str, scope: Types) -> Expression:
        """An expression, or one that cannot be used, which is a problem."""
        try:
            return self.vocabulary(scope).compile(source)
        except ExpressionError as error:
            self.problems.add(node, path, explain(self.graph, error, node))
            return Unusable()

    def condition(self, node: str, path: str, source: str | None, scope: Types) -> Expression | None:
        """An expression that is true or false, if there is one."""
        return self.given(node, path, source, scope, "BOOL")

    def given(self, node: str, path: str, source: str | None, scope: Types, *kinds: str) -> Expression | None:
        """An expression of one of some types, if there is one."""
        return self.typed(node, path, source, scope, *kinds) if source else None

    def typed(self, node: str, path: str, source: str, scope: Types, *kinds: str) -> Expression:
        """An expression of one of some types."""
        found = self.expression(node, path, source, scope)
        if not self.fits(found.type, *kinds):
            self.problems.add(node, path, f"is of type {found.type.name()}; it must be {' or '.join(kinds)}")
        return found

    def fits(self, kind: Type, *kinds: str) -> bool:
        """Whether it is one of these types. What something wrong gives fits everywhere: that was told already."""
        return kind.name() in kinds or (kind.name() == "DYN" and self.problems.any)

    def vocabulary(self, scope: Types) -> Vocabulary:
        """What expressions in a scope may use."""
        key = tuple((name, kind.name()) for name, kind in scope.items())
        if key not in self._vocabularies:
            self._vocabularies[key] = Vocabulary(scope)
        return self._vocabularies[key]

    def _placed(self, node: Named, scope: Types) -> tuple[Binder, Types]:
        """A node outside of streams."""
        if node.each is not None:
            self.problems.add(node.node, "each", "stands inside a stream only")
        elif node.at_once > 1 and not isinstance(node, Map):
            self.problems.add(node.node, "at_once", "is for what is done with each item of a stream or a map")
        return self.node(node, scope)

    def _parallel(self, block: Parallel, scope: Types) -> tuple[Binder, Types]:
        binders: list[Binder] = []
        adds: dict[str, Type] = {}
        for each in block.parallel:
            binder, added = self.block(each, scope)
            binders.append(binder)
            adds |= added
        quorum = block.quorum or len(binders)
        if quorum < len(binders):
            adds |= {f"failed.{name}": BOOL for name in adds if not name.startswith("failed.")}
        return (lambda callers: ParallelStep(steps=tuple(bind(callers) for bind in binders), quorum=quorum)), adds

    def _call(self, node: Call, scope: Types) -> tuple[Maker, Type]:
        method = self.method(node)
        if method is None:
            return (lambda _callers, _named: SequenceStep(steps=())), DYN
        if not method.unary:
            self.problems.add(node.node, "call", f"{method.name} is a stream; put the node right inside a stream block")
        if node.send:
            self.problems.add(node.node, "send", "is for calls with a stream of requests")
        if does_something(node) and (node.hedge or node.cache):
            self.problems.add(
                node.node, "hedge" if node.hedge else "cache", f"{method.name} changes something: it is called once"
            )
        template = self.request(node.node, "request", method, node.request, scope)
        name = self.graph.name

        def make(callers: Callers, named: dict[str, Any]) -> Step:
            assert template is not None  # noqa: S101 - otherwise there was a problem
            return CallStep(**named, caller=callers.unary(name, node, method, template.build))

        return make, message_type(method.response)


def _sequence(binders: list[Binder]) -> Binder:
    return lambda callers: SequenceStep(steps=tuple(bind(callers) for bind in binders))
