"""Where `maas demo` shows what it does: calls with their times, and their answers below."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.text import Text

from maas.nlp.v1.conversation_pb2 import StreamGenerateReplyResponse
from services.cli.client import Mesh
from services.cli.output import milliseconds

Answer = TypeVar("Answer", bound=Message)

_INDENT = 4
_WIDTH = 76 - _INDENT


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@dataclass
class Stage:
    """One run of the demo.

    samples: the folder with the photos and recordings. kept: where the pictures and sounds that it makes are written.
    stop: set by a signal; no further call is made then.
    """

    mesh: Mesh
    samples: Path
    kept: Path
    out: Console
    stop: threading.Event

    def title(self, verb: str, what: str) -> None:
        """Begin a section."""
        self.out.print(Text.assemble("\n", (verb, "bold"), " ", what))

    def show(self, what: RenderableType, *, narrow: bool = False) -> None:
        """Show something below its call. `narrow`: broken into lines that fit any terminal."""
        self.out.print(Padding(Constrain(what, _WIDTH) if narrow else what, (0, 0, 0, _INDENT), expand=False))

    def call(
        self, method: str, request: Message, answer: type[Answer], *, called: str = "", twice: bool = False
    ) -> Answer:
        """Call and print how long it took; `twice`: once to warm up and once more, both told."""
        called = called or method.rpartition("/")[2]
        found = self._once(called, method, request, answer)
        took = milliseconds(self.mesh.calls[-1].seconds)
        if twice:
            first = took
            found = self._once(called, method, request, answer)
            took = f"{milliseconds(self.mesh.calls[-1].seconds)}, the first call {first}"
        self._told(called, took)
        return found

    def stream(self, method: str, request: Message) -> StreamGenerateReplyResponse:
        """Call a method that writes a reply, and show it while it grows. Returns the last answer, which has it all."""
        called = method.rpartition("/")[2]
        said, last = "", StreamGenerateReplyResponse()
        self._go_on()
        with (
            self.out.status(called) as status,
            self.mesh.stream(method, request, StreamGenerateReplyResponse) as pieces,
        ):
            for last in pieces:
                self._go_on()
                said += last.delta
                status.update(Text(wrapped(said)))
        call = self.mesh.calls[-1]
        self._told(
            called, f"{milliseconds(call.seconds)}, the first words after {milliseconds(call.first_seconds or 0)}"
        )
        return last

    @contextmanager
    def conversation(
        self, method: str, requests: Iterator[Message], answer: type[Answer]
    ) -> Iterator[Iterator[Answer]]:
        """Call a method that takes a stream and answers with one; at the end of the block its times are told."""
        called = method.rpartition("/")[2]
        self._go_on()
        with self.out.status(called), self.mesh.converse(method, requests, answer) as answers:
            yield answers
        call = self.mesh.calls[-1]
        first = milliseconds(call.first_seconds or 0)
        self._told(called, f"{milliseconds(call.seconds)}, the first answer after {first}")

    def _once(self, called: str, method: str, request: Message, answer: type[Answer]) -> Answer:
        self._go_on()
        with self.out.status(called):
            return self.mesh.call(method, request, answer)

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise Interrupted

    def _told(self, called: str, took: str) -> None:
        self.out.print(Text.assemble("  ", (called, "cyan"), f"  {took}"))


def wrapped(text: str) -> str:
    """Lines that fit any terminal."""
    return "\n".join(textwrap.wrap(text, _WIDTH))


def near(path: Path) -> str:
    """The path as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
