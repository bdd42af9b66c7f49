"""What a compiled graph needs to become a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from services.router.methods import Method
from services.router.pipelines.graph import Call
from services.router.pipelines.plan import Masker, Scope, StreamCaller, UnaryCaller


class Callers(Protocol):
    """Makes what makes the calls of nodes."""

    @property
    def masker(self) -> Masker:
        """Masks texts."""
        ...

    def unary(self, graph: str, node: Call, method: Method, build: Callable[[Scope], Message]) -> UnaryCaller:
        """For a unary method. build: its request."""
        ...

    def stream(self, graph: str, node: Call, method: Method) -> StreamCaller:
        """For a method with a stream of requests or answers."""
        ...
