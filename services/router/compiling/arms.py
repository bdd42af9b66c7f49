"""Compiles the nodes that have other blocks inside: each of these sees a scope of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from services.router import methods
from services.router.compiling.expressions import DOUBLE, DYN, STRING, Type, item_type, list_of, unified
from services.router.compiling.ports import Callers
from services.router.pipelines.graph import (
    Block,
    Branch,
    Ensemble,
    Fallback,
    Map,
    Named,
    Privacy,
    Switch,
    nodes,
)
from services.router.pipelines.plan import (
    EnsembleStep,
    FallbackStep,
    MapStep,
    Member,
    PrivacyStep,
    Step,
    SwitchStep,
    Way,
)

if TYPE_CHECKING:
    from services.router.compiling.blocks import Binder, Blocks

Types = Mapping[str, Type]
# How a node becomes a step, from what every step with a name has.
Maker = Callable[[Callers, dict[str, Any]], Step]
WayMaker = Callable[[Callers], Way]

_ENTITY_TYPES = {name.removeprefix("ENTITY_TYPE_") for name in methods.ENTITY_TYPES}
_NUMBERS = ("INT", "UINT", "DOUBLE")
_NUMBER_LISTS = tuple(f"LIST<{name}>" for name in _NUMBERS)
_VOTES = (*_NUMBERS, "STRING", "BOOL", "BYTES")


class Arms:
    """The nodes of one graph that have other blocks inside."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._problems = blocks.problems

    def _arm(
        self, node: str, path: str, run: Block | None, gives: str | None, scope: Types
    ) -> tuple[WayMaker, Type, Types]:
        """A way, the type of what it gives, and what expressions beside `gives` see."""
        bind: Binder | None = None
        if run is not None:
            bind, added = self._blocks.block(run, scope)
            scope = {**scope, **added}
        source = gives or (run.node if isinstance(run, Named) else "")
        value = self._blocks.expression(node, f"{path}.gives".lstrip("."), source, scope)
        return lambda callers: Way(run=bind(callers) if bind else None, gives=value.evaluate), value.type, scope

    def _arms(
        self, node: str, branches: Mapping[str, Branch], scope: Types
    ) -> tuple[list[WayMaker], list[Types], Type]:
        """The ways of a node, what is seen in each, and the one type of their values."""
        ways: list[WayMaker] = []
        scopes: list[Types] = []
        kind = DYN
        for path, branch in branches.items():
            way, found, inner = self._arm(node, path, branch.run, branch.gives, scope)
            ways.append(way)
            scopes.append(inner)
            both = unified(kind, found)
            if both is None:
                self._problems.add(
                    node, f"{path}.gives", f"is of type {found.name()}, and the ways before it give {kind.name()}"
                )
            kind = both or kind
        return ways, scopes, kind

    def switch(self, node: Switch, scope: Types) -> tuple[Maker, Type]:
        """How it becomes a step, and the type of its value."""
        branches: dict[str, Branch] = {f"switch[{index}]": case for index, case in enumerate(node.switch)}
        conditions = [
            self._blocks.typed(node.node, f"switch[{index}].when", case.when, scope, "BOOL")
            for index, case in enumerate(node.switch)
        ]
        always = [index for index, case in enumerate(node.switch) if case.when.strip() == "true"]
        if node.otherwise:
            branches["otherwise"] = node.otherwise
        if always and always[0] + 1 < len(branches):
            following = list(branches)[always[0] + 1]
            self._problems.add(node.node, following, "is unreachable: the condition before it always holds")
        ways, _, kind = self._arms(node.node, branches, scope)

        def make(callers: Callers, named: dict[str, Any]) -> Step:
            made = [way(callers) for way in ways]
            return SwitchStep(
                **named,
                cases=tuple((when.evaluate, way) for when, way in zip(conditions, made, strict=False)),
                otherwise=made[-1] if node.otherwise else None,
            )

        return make, kind

    def map(self, node: Map, scope: Types) -> tuple[Maker, Type]:
        """How it becomes a step, and the type of its value."""
        self._new_name(node.node, "as", node.item, scope)
        items = self._blocks.expression(node.node, "map", node.map, scope)
        kind = item_type(items.type)
        if kind is None and not self._blocks.fits(items.type):
            self._problems.add(node.node, "map", f"is of type {items.type.name()}; it must be a list")
        inner = {**scope, node.item: kind or DYN}
        way, given, _ = self._arm(node.node, "", node.run, node.gives, inner)
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

    def ensemble(self, node: Ensemble, scope: Types) -> tuple[Maker, Type]:
        """How it becomes a step, and the type of its value."""
        branches = {f"ensemble[{index}]": member for index, member in enumerate(node.ensemble)}
        ways, scopes, kind = self._arms(node.node, branches, scope)
        allowed = {"vote": _VOTES, "mean": (*_NUMBERS, *_NUMBER_LISTS)}.get(node.combine, ())
        if allowed and not self._blocks.fits(kind, *allowed):
            self._problems.add(
                node.node, "combine", f"{node.combine!r} takes values of {', '.join(allowed)}; they are {kind.name()}"
            )
        scores = [
            self._blocks.given(node.node, f"ensemble[{index}].score", member.score, inner, *_NUMBERS)
            for index, (member, inner) in enumerate(zip(node.ensemble, scopes, strict=True))
        ]
        if node.combine == "mean":
            kind = list_of(DOUBLE) if "LIST" in kind.name() else DOUBLE

        def make(callers: Callers, named: dict[str, Any]) -> Step:
            members = tuple(
                Member(way=way(callers), weight=member.weight, score=score.evaluate if score else None)
                for way, member, score in zip(ways, node.ensemble, scores, strict=True)
            )
            return EnsembleStep(**named, members=members, combine=node.combine)

        return make, kind

    def fallback(self, node: Fallback, scope: Types) -> tuple[Maker, Type]:
        """How it becomes a step, and the type of its value."""
        branches = {f"fallback[{index}]": branch for index, branch in enumerate(node.fallback)}
        ways, _, kind = self._arms(node.node, branches, scope)
        return (
            lambda callers, named: FallbackStep(
                **named, ways=tuple(way(callers) for way in ways), codes=frozenset(node.codes)
            )
        ), kind

    def privacy(self, node: Privacy, scope: Types) -> tuple[Maker, Type]:
        """How it becomes a step, and the type of its value."""
        self._new_name(node.node, "as", node.masked, scope)
        unknown = [name for name in node.types if name not in _ENTITY_TYPES]
        if unknown:
            self._problems.add(
                node.node, "types", f"{unknown[0]!r} is none; there are: {', '.join(sorted(_ENTITY_TYPES))}"
            )
        text = self._blocks.typed(node.node, "privacy", node.privacy, scope, "STRING")
        language = self._blocks.given(node.node, "language_code", node.language_code, scope, "STRING")
        inner = {**scope, node.masked: STRING}
        way, kind, _ = self._arm(node.node, "", node.run, node.gives, inner)
        if not node.keep_marks and not self._blocks.fits(kind, "STRING"):
            self._problems.add(node.node, "gives", f"is of type {kind.name()}; marks are replaced in a text only")
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
        if name in scope or name in {each.node for each in nodes(self._blocks.graph)}:
            self._problems.add(node, path, f"{name!r} means something already; choose another name")
