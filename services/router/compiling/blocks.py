"""Compiles the blocks of a graph: each sees what has ended before it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.router import methods
from services.router.compiling.expressions import (
    BOOL,
    DYN,
    Expression,
    ExpressionError,
    Type,
    Unusable,
    Vocabulary,
    empty,
    item_type,
    list_of,
    message_type,
    unified,
)
from services.router.compiling.ports import Callers
from services.router.compiling.problems import Problems
from services.router.compiling.requests import RequestTemplate
from services.router.compiling.streams import Streams
from services.router.compiling.uses import circle, does_something, used_names
from services.router.methods import Method
from services.router.pipelines.graph import (
    Block,
    Branch,
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
    nodes,
)
from services.router.pipelines.plan import (
    CallStep,
    EnsembleStep,
    FallbackStep,
    MapStep,
    Member,
    ParallelStep,
    PrivacyStep,
    SequenceStep,
    Step,
    SwitchStep,
    Way,
)

Binder = Callable[[Callers], Step]
Types = Mapping[str, Type]
# An arm of a node: how it becomes a way, and the type of its value.
Arm = tuple[Callable[[Callers], Way], Type]

_ENTITY_TYPES = {name.removeprefix("ENTITY_TYPE_") for name in methods.ENTITY_TYPES}
_NUMBERS = ("INT", "UINT", "DOUBLE")
_NUMBER_LISTS = tuple(f"LIST<{name}>" for name in _NUMBERS)
_VOTES = (*_NUMBERS, "STRING", "BOOL", "BYTES")


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
        self.problems.add("", "", "a stream stands at the top, or right inside a sequence at the top")
        return _sequence([]), {}

    def node(self, node: Named, scope: Types) -> tuple[Binder, Types]:
        """A node that runs once, and what it adds."""
        kinds: dict[type[Named], Callable[[Any, Types], tuple[Callable[[Callers, dict[str, Any]], Step], Type]]] = {
            Call: self._call,
            Switch: self._switch,
            Map: self._map,
            Ensemble: self._ensemble,
            Fallback: self._fallback,
            Privacy: self._privacy,
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
            self.problems.add(node, where, self._explain(error, node))
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
            self.problems.add(node, path, self._explain(error, node))
            return Unusable()

    def condition(self, node: str, path: str, source: str | None, scope: Types) -> Expression | None:
        """An expression that is true or false."""
        if source is None:
            return None
        return self.typed(node, path, source, scope, "BOOL")

    def typed(self, node: str, path: str, source: str, scope: Types, *kinds: str) -> Expression:
        """An expression of one of some types."""
        found = self.expression(node, path, source, scope)
        if found.type.name() not in (*kinds, "DYN"):
            self.problems.add(node, path, f"is of type {found.type.name()}; it must be {' or '.join(kinds)}")
        return found

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

    def _call(self, node: Call, scope: Types) -> tuple[Any, Type]:
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

    def _arm(self, node: str, path: str, run: Block | None, gives: str | None, scope: Types) -> tuple[Arm, Types]:
        """A way, the type of what it gives, and what expressions beside `gives` see."""
        bind: Binder | None = None
        if run is not None:
            bind, added = self.block(run, scope)
            scope = {**scope, **added}
        source = gives or (run.node if isinstance(run, Named) else "")
        value = self.expression(node, f"{path}.gives".lstrip("."), source, scope)
        return (
            lambda callers: Way(run=bind(callers) if bind else None, gives=value.evaluate),
            value.type,
        ), scope

    def _arms(self, node: str, branches: Mapping[str, Branch], scope: Types) -> tuple[list[Any], list[Types], Type]:
        """The ways of a node, what is seen in each, and the one type of their values."""
        ways, scopes = [], []
        kind = DYN
        for path, branch in branches.items():
            (way, found), inner = self._arm(node, path, branch.run, branch.gives, scope)
            ways.append(way)
            scopes.append(inner)
            both = unified(kind, found)
            if both is None:
                self.problems.add(
                    node, f"{path}.gives", f"is of type {found.name()}, and the ways before it give {kind.name()}"
                )
            kind = both or kind
        return ways, scopes, kind

    def _switch(self, node: Switch, scope: Types) -> tuple[Any, Type]:
        branches: dict[str, Branch] = {f"switch[{index}]": case for index, case in enumerate(node.switch)}
        conditions = [
            self.typed(node.node, f"switch[{index}].when", case.when, scope, "BOOL")
            for index, case in enumerate(node.switch)
        ]
        always = [index for index, case in enumerate(node.switch) if case.when.strip() == "true"]
        if node.otherwise:
            branches["otherwise"] = node.otherwise
        if always and always[0] + 1 < len(branches):
            following = list(branches)[always[0] + 1]
            self.problems.add(node.node, following, "is unreachable: the condition before it always holds")
        ways, _, kind = self._arms(node.node, branches, scope)

        def make(callers: Callers, named: dict[str, Any]) -> Step:
            made = [way(callers) for way in ways]
            return SwitchStep(
                **named,
                cases=tuple((when.evaluate, way) for when, way in zip(conditions, made, strict=False)),
                otherwise=made[-1] if node.otherwise else None,
            )

        return make, kind

    def _map(self, node: Map, scope: Types) -> tuple[Any, Type]:
        self._new_name(node.node, "as", node.item, scope)
        items = self.expression(node.node, "map", node.map, scope)
        kind = item_type(items.type)
        if kind is None:
            self.problems.add(node.node, "map", f"is of type {items.type.name()}; it must be a list")
        inner = {**scope, node.item: kind or DYN}
        (way, given), _ = self._arm(node.node, "", node.run, node.gives, inner)
        return (
            lambda callers, named: MapStep(
                **named,
                items=items.evaluate,
                item=node.item,
                most=node.most,
                at_once=node.at_once,
                way=way(callers),
            )
        ), list_of(given)

    def _ensemble(self, node: Ensemble, scope: Types) -> tuple[Any, Type]:
        branches = {f"ensemble[{index}]": member for index, member in enumerate(node.ensemble)}
        ways, scopes, kind = self._arms(node.node, branches, scope)
        allowed = {"vote": _VOTES, "mean": (*_NUMBERS, *_NUMBER_LISTS)}.get(node.combine, ())
        if allowed and kind.name() not in (*allowed, "DYN"):
            self.problems.add(
                node.node, "combine", f"{node.combine!r} takes values of {', '.join(allowed)}; they are {kind.name()}"
            )
        scores = [
            self.typed(node.node, f"ensemble[{index}].score", member.score, inner, *_NUMBERS) if member.score else None
            for index, (member, inner) in enumerate(zip(node.ensemble, scopes, strict=True))
        ]
        if node.combine == "mean":
            kind = self.expression(node.node, "", "[0.0]" if "LIST" in kind.name() else "0.0", {}).type

        def make(callers: Callers, named: dict[str, Any]) -> Step:
            members = tuple(
                Member(way=way(callers), weight=member.weight, score=score.evaluate if score else None)
                for way, member, score in zip(ways, node.ensemble, scores, strict=True)
            )
            return EnsembleStep(**named, members=members, combine=node.combine)

        return make, kind

    def _fallback(self, node: Fallback, scope: Types) -> tuple[Any, Type]:
        branches = {f"fallback[{index}]": branch for index, branch in enumerate(node.fallback)}
        ways, _, kind = self._arms(node.node, branches, scope)
        return (
            lambda callers, named: FallbackStep(
                **named, ways=tuple(way(callers) for way in ways), codes=frozenset(node.codes)
            )
        ), kind

    def _privacy(self, node: Privacy, scope: Types) -> tuple[Any, Type]:
        self._new_name(node.node, "as", node.masked, scope)
        unknown = [name for name in node.types if name not in _ENTITY_TYPES]
        if unknown:
            self.problems.add(
                node.node, "types", f"{unknown[0]!r} is none; there are: {', '.join(sorted(_ENTITY_TYPES))}"
            )
        text = self.typed(node.node, "privacy", node.privacy, scope, "STRING")
        language = (
            self.typed(node.node, "language_code", node.language_code, scope, "STRING") if node.language_code else None
        )
        inner = {**scope, node.masked: self.expression(node.node, "", '""', {}).type}
        (way, kind), _ = self._arm(node.node, "", node.run, node.gives, inner)
        if not node.keep_marks and kind.name() not in {"STRING", "DYN"}:
            self.problems.add(node.node, "gives", f"is of type {kind.name()}; marks are replaced in a text only")
        return (
            lambda callers, named: PrivacyStep(
                **named,
                text=text.evaluate,
                masked=node.masked,
                types=node.types,
                language_code=language.evaluate if language else None,
                masker=callers.masker,
                way=way(callers),
                keep_marks=node.keep_marks,
            )
        ), kind

    def _new_name(self, node: str, path: str, name: str, scope: Types) -> None:
        if name in scope or name in {each.node for each in nodes(self.graph)}:
            self.problems.add(node, path, f"{name!r} means something already; choose another name")

    def _explain(self, error: ExpressionError, node: str) -> str:  # noqa: PLR0911 - one mistake a line
        """What an unknown name probably meant."""
        root, _, rest = error.unknown.partition(".")
        known = [each.node for each in nodes(self.graph)]
        if not error.unknown:
            return str(error)
        if root == "inputs":
            name = rest.partition(".")[0]
            if name in self.graph.inputs:
                return f"inputs.{name} is a stream; a node takes its items by each: inputs.{name}"
            return f"there is no input {name!r}; there are: {', '.join(self.graph.inputs) or 'none'}"
        if root == "failed":
            return f"only optional nodes, and those of a parallel with a quorum, may have failed; {rest!r} is none here"
        if root not in known:
            return f"there is no node {root!r}; there are: {', '.join(known)}"
        way = circle(used_names(self.graph), node) if node else []
        if root in way:
            return f"a cycle: {' -> '.join(way)}"
        return f"node {root!r} has not ended before {node or 'this'!r} begins, or is inside another node"


def _sequence(binders: list[Binder]) -> Binder:
    return lambda callers: SequenceStep(steps=tuple(bind(callers) for bind in binders))
