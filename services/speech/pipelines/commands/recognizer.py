"""Which of the caller's commands a piece of speech is, if any."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.models import ModelCard
from services.mesh.ports import Inference
from services.speech.pipelines.commands.grammar import Grammar
from services.speech.pipelines.commands.network import network
from services.speech.pipelines.commands.wake import WakeWord, WakeWordListener

COMMANDS = "command-recognition"
SAMPLE_RATE_HERTZ = 16_000
MAX_SECONDS = 30.0


@dataclass(frozen=True)
class FilledSlot:
    """A slot, its value, and the words that were heard."""

    name: str
    value: str
    spoken: str


@dataclass(frozen=True)
class Recognized:
    """A command that was spoken; times in seconds from the first sample."""

    intent: str
    slots: tuple[FilledSlot, ...]
    confidence: float
    transcript: str
    start: float
    end: float


@dataclass(frozen=True)
class Commands:
    """What is listened for: the grammar and its network, the model, and from which confidence on."""

    card: ModelCard
    grammar: Grammar
    network: bytes
    min_confidence: float


class CommandRecognizer:
    """Runs models with inputs audio float32[T] and grammar bytes[1], and an output result bytes[1], JSON."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether streams are to end as soon as nobody is in the middle of a command."""
        return self._draining

    def drain(self) -> None:
        """The server stops."""
        self._draining = True

    async def prepare(
        self, grammar: Grammar, card: ModelCard, *, min_confidence: float, at: str, deadline: Deadline
    ) -> Commands:
        """Make the grammar ready, so that nothing is wrong with it when sound comes.

        min_confidence: 0 for the model's own. at: where the grammar stands in the request.
        Raises InvalidArgument naming the field with a word that cannot be pronounced, and what inference raises.
        """
        commands = Commands(
            card,
            grammar,
            await asyncio.to_thread(network, grammar, at=at),
            min_confidence or float(card.postprocess["min_confidence"]),
        )
        found = await self._search(commands, np.empty(0, np.float32), deadline)
        for word in found["unpronounceable"]:
            raise errors.InvalidArgument.field(
                grammar.words[word], f"has {word!r}, which cannot be pronounced: write it as it is said"
            )
        return commands

    async def recognize(
        self, commands: Commands, samples: NDArray[np.float32], deadline: Deadline
    ) -> Recognized | None:
        """The command that samples float32[T] say, 16 kHz, at most 30 s with a little silence around speech; or None.

        Raises what inference raises.
        """
        found = await self._search(commands, samples, deadline)
        words = found["words"]
        if not words or found["confidence"] < commands.min_confidence:
            return None
        spoken = [word["word"] for word in words]
        parse = commands.grammar.parse(spoken)
        if parse is None:  # The search ended in the middle of a phrase.
            return None
        return Recognized(
            parse.intent,
            tuple(FilledSlot(each.slot, each.value, " ".join(spoken[each.begin : each.end])) for each in parse.slots),
            found["confidence"],
            " ".join(spoken),
            words[0]["start"],
            words[-1]["end"],
        )

    def listener(self, word: WakeWord) -> WakeWordListener:
        """For one sound."""
        return WakeWordListener(self._inference, word)

    async def _search(self, commands: Commands, samples: NDArray[np.float32], deadline: Deadline) -> dict[str, Any]:
        inputs = {"audio": samples, "grammar": np.array([commands.network], np.object_)}
        arrays = await self._inference.infer(commands.card.name, inputs, ["result"], deadline=deadline)
        found: dict[str, Any] = json.loads(arrays["result"][0])
        return found
