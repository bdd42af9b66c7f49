"""Mutations: small mistakes in manifests, each with the check that must see it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from deploy.k8s.checks.rendering import Document, Rendering, at, reference

# Has what dev has not: policies, autoscalers, replicas, digests.
PRODUCTION = "production"
NAME = "app.kubernetes.io/name"


class Objects:
    """The objects of a rendering, to be changed at will."""

    def __init__(self, rendering: Rendering) -> None:
        self.pinned = rendering.pinned
        self.documents = copy.deepcopy(list(rendering.documents))

    def __getitem__(self, wanted: str) -> Document:
        return next(each for each in self.documents if reference(each) == wanted)

    def first(self, kind: str) -> Document:
        """The first of a kind."""
        return next(each for each in self.documents if each["kind"] == kind)

    def pod(self, wanted: str) -> Document:
        """A workload's pod spec."""
        return self[wanted]["spec"]["template"]["spec"]

    def container(self, wanted: str) -> Document:
        """The first container of a workload."""
        return self.pod(wanted)["containers"][0]

    def variable(self, wanted: str, name: str) -> Document:
        """A variable of the first container of a workload."""
        return next(each for each in self.container(wanted)["env"] if each["name"] == name)

    def add(self, document: Document) -> None:
        """One more object, in the mesh's namespace."""
        document.setdefault("metadata", {}).setdefault("namespace", "maas")
        self.documents.append(document)

    def remove(self, wanted: str) -> None:
        """One object less."""
        self.documents.remove(self[wanted])

    def as_rendering(self, like: Rendering) -> Rendering:
        """As checks take it."""
        return Rendering(like.name, tuple(self.documents), self.pinned)


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    check: name of the check that must find it.  object: where it must.  overlay: in which rendering it is made.
    """

    check: str
    object: str
    make: Callable[[Objects], None]
    overlay: str

    def __str__(self) -> str:
        return f"{self.check}-{self.make.__name__}"


MUTATIONS: list[Mutation] = []


def caught_by(
    check: str, found_at: str, overlay: str = "dev"
) -> Callable[[Callable[[Objects], None]], Callable[[Objects], None]]:
    """Put a mutation into the table."""

    def register(make: Callable[[Objects], None]) -> Callable[[Objects], None]:
        MUTATIONS.append(Mutation(check, found_at, make, overlay))
        return make

    return register


def labels(workload: Document) -> Document:
    """Of a workload's pods."""
    return at(workload, "spec", "template", "metadata", "labels")
