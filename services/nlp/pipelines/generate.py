"""Text from a language model: a conversation in, a stream of pieces out.

The model is spoken to as Triton's vLLM backend is: a prompt and sampling parameters, so that either can answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.mesh import errors
from services.mesh.deadline import Deadline
from services.mesh.generation import generation
from services.mesh.models import ModelCard
from services.mesh.ports import Array, Inference
from services.nlp.pipelines.prompting import without

TASK = "text-generation"
# What vLLM's backend gives as the reason while there is none.
_UNFINISHED = "None"
_OUTPUTS = ("text_output", "finish_reason", "num_input_tokens", "num_output_tokens")


@dataclass(frozen=True, slots=True)
class Message:
    """Something said in a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model writes.

    temperature: 0 always takes the likeliest token. stop: the text ends before the first of these. json_schema: a JSON
    Schema that the text must fit.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None

    def to_json(self) -> str:
        """As vLLM's sampling parameters."""
        known: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
        if self.seed is not None:
            known["seed"] = self.seed
        if self.stop:
            known["stop"] = list(self.stop)
        if self.json_schema is not None:
            known["guided_decoding"] = {"json": self.json_schema}
        return json.dumps(known, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model read and wrote."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)


@dataclass(frozen=True, slots=True)
class Piece:
    """New text. The last piece has a finish_reason ("stop" or "length") and the usage of the whole."""

    text: str
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)


class Generator:
    """Runs models of task text-generation."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        # By model and version: bounded by the catalog.
        self._templates: dict[tuple[str, str], Template] = {}

    async def stream(
        self, messages: Sequence[Message], card: ModelCard, sampling: Sampling, deadline: Deadline
    ) -> AsyncGenerator[Piece, None]:
        """The next message, piece by piece. Closing the generator stops the model at once.

        What the messages say is text and never a command of the model's protocol: its special tokens are taken out.
        """
        prompt = self._prompt(messages, card)
        inputs = _inputs(prompt, sampling)
        answers = self._inference.stream(card.name, inputs, _OUTPUTS, deadline=deadline)
        with generation(card.name) as counted:
            async with aclosing(answers):
                written = 0
                async for answer in answers:
                    piece = _piece(answer, written)
                    written = piece.usage.output_tokens
                    counted.wrote(piece.usage.input_tokens, written)
                    yield piece

    async def complete(
        self, messages: Sequence[Message], card: ModelCard, sampling: Sampling, deadline: Deadline
    ) -> Piece:
        """The next message as a whole."""
        async with aclosing(self.stream(messages, card, sampling, deadline)) as pieces:
            return await joined(pieces)

    def _prompt(self, messages: Sequence[Message], card: ModelCard) -> str:
        key = (card.name, card.version)
        if key not in self._templates:
            environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
            self._templates[key] = environment.from_string(card.preprocess["chat_template"])
        special = card.preprocess.get("special_tokens", ())
        spoken = [{"role": message.role, "content": without(message.content, special)} for message in messages]
        return self._templates[key].render(messages=spoken, add_generation_prompt=True)


async def joined(pieces: AsyncIterator[Piece]) -> Piece:
    """All pieces as one."""
    texts: list[str] = []
    last = Piece("")
    async for piece in pieces:
        texts.append(piece.text)
        last = piece
    if not last.finish_reason:
        raise errors.Internal("the language model ended without saying why", reason="MODEL_FAILED")
    return Piece("".join(texts), last.finish_reason, last.usage)


def _inputs(prompt: str, sampling: Sampling) -> dict[str, Array]:
    """As Triton's vLLM backend takes them."""
    true = np.ones(1, np.bool_)
    return {
        "text_input": np.array([prompt.encode()], object),
        "stream": true,
        "sampling_parameters": np.array([sampling.to_json().encode()], object),
        "return_finish_reason": true,
        "return_num_input_tokens": true,
        "return_num_output_tokens": true,
    }


def _piece(answer: dict[str, Array], written: int) -> Piece:
    """One response, which counts the tokens since the last. written: tokens before it."""
    reason = answer["finish_reason"].item().decode()
    return Piece(
        answer["text_output"].item().decode(),
        "" if reason == _UNFINISHED else reason,
        Usage(int(answer["num_input_tokens"].item()), written + int(answer["num_output_tokens"].item())),
    )
