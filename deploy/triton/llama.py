"""llama.cpp (xllamacpp) as an engine with slots: several texts grow together, token by token, in one batch.

Imported inside Triton's Python stub.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp

from deploy.triton.generation import Refused, SchemaCheck, Wanted

# Only so many of the likeliest tokens are drawn from: sorting all 150,000 would take as long as a tenth of a token.
CANDIDATES = 100
RANDOM_SEED = 0xFFFFFFFF


class Failed(Exception):
    """The engine is at fault; the message quotes no prompt."""


@dataclass(frozen=True)
class Piece:
    """New text since the last piece, whole characters only. The last one has a finish_reason, "stop" or "length".

    input_tokens, output_tokens: of the text so far.
    """

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int


class Engine:
    """One model in memory. `generate` may be called from as many threads at once as there are slots."""

    def __init__(
        self,
        weights: Path,
        *,
        slots: int,
        context_tokens: int,
        threads: int,
        batch_tokens: int,
        prefix_cache_mebibytes: int,
    ) -> None:
        """Load GGUF weights.

        context_tokens: of each slot, prompt and answer together. batch_tokens: how much of a prompt is read in one
        step; in between, other texts grow, and a cancellation is noticed. prefix_cache_mebibytes: for prompts that a
        slot has read and then left for others.
        """
        self._context_tokens = context_tokens
        options = xllamacpp.CommonParams()
        options.model.path = str(weights)
        options.n_parallel, options.n_ctx = slots, slots * context_tokens
        options.n_batch = options.n_ubatch = batch_tokens
        options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
        # Weights stay as they lie in the file, mapped: another layout in memory takes 1.1 GiB more and gained nothing.
        options.no_extra_bufts = True
        # Beginnings of prompts that were read once: instructions with examples cost 20 seconds on a CPU.
        options.cache_ram_mib = prefix_cache_mebibytes
        options.ctx_shift = options.warmup = options.ui = False
        options.endpoint_slots = options.endpoint_metrics = False
        options.verbosity = -1  # its log would quote prompts
        # It insists on an HTTP server. A socket file that is gone at once, in a directory of ours, is one for nobody.
        with tempfile.TemporaryDirectory() as directory:
            options.hostnames = [f"{directory}/llama.sock"]
            self._server = xllamacpp.Server(options)
        # The first constrained text takes seconds longer: not in somebody's request.
        self.generate(Wanted("1", temperature=0, max_tokens=1, schema='{"type": "integer"}'), lambda _: True)

    def generate(self, wanted: Wanted, receive: Callable[[Piece | None], bool]) -> None:
        """Write one text, and hand over each piece; None is a sign of life while the prompt is read.

        The writing ends at once when `receive` returns False. Raises Refused, Failed, and what `receive` raises.
        """
        writing = _Writing(wanted, self._context_tokens, receive)
        self._server.handle_completions(_body(wanted), writing.take)
        if writing.error:
            raise writing.error
        if not writing.ended:
            raise Failed("the engine stopped before the text had an end")


class _Writing:
    """One call of the engine, seen from its callbacks."""

    def __init__(self, wanted: Wanted, context_tokens: int, receive: Callable[[Piece | None], bool]) -> None:
        self._wanted, self._context_tokens, self._receive = wanted, context_tokens, receive
        self._check = SchemaCheck(wanted.schema) if wanted.schema else None
        self._input_tokens = 0
        self.ended = False
        self.error: Exception | None = None

    def take(self, said: Any) -> bool:
        """Called by the engine with each thing it says; True makes it stop, and a raised error would be lost."""
        try:
            self._take(said)
        except Exception as error:  # noqa: BLE001 - `generate` raises it again
            self.error = error
            self.ended = True
        return self.ended

    def _take(self, said: dict[str, Any]) -> None:
        if "error" in said:
            raise self._failure(said["error"])
        if progress := said.get("prompt_progress"):
            self._input_tokens = int(progress["total"])
            if self._input_tokens + self._wanted.max_tokens > self._context_tokens:
                raise self._too_long()
            self.ended = not self._receive(None)
            return
        choice = said["choices"][0]
        piece = Piece(
            choice["text"],
            choice["finish_reason"] or "",
            self._input_tokens,
            int(said.get("timings", {}).get("predicted_n", 0)),
        )
        if self._check and not self._check.fits(piece.text):
            raise Failed("the engine could not keep to the schema")
        self.ended = not self._receive(piece) or bool(piece.finish_reason)

    def _failure(self, error: dict[str, Any]) -> Exception:
        if error.get("type") == "exceed_context_size_error":
            self._input_tokens = int(error["n_prompt_tokens"])
            return self._too_long()
        return Failed(f"the engine refused ({error.get('type', 'unknown')})")

    def _too_long(self) -> Refused:
        return Refused(
            f"the prompt has {self._input_tokens} tokens and max_tokens is {self._wanted.max_tokens}: "
            f"together they may be {self._context_tokens}"
        )


def _body(wanted: Wanted) -> dict[str, Any]:
    """The request as llama.cpp's completions endpoint takes it."""
    greedy = wanted.temperature == 0
    body: dict[str, Any] = {
        "prompt": wanted.prompt,
        "max_tokens": wanted.max_tokens,
        "temperature": wanted.temperature,
        "top_p": wanted.top_p,
        "top_k": 1 if greedy else CANDIDATES,
        "samplers": ["top_k"] if greedy else ["top_k", "temperature", "top_p"],
        "seed": RANDOM_SEED if wanted.seed is None else wanted.seed % RANDOM_SEED,
        "stop": wanted.stop,
        "stream": True,
        "cache_prompt": True,
        "return_progress": True,
        "timings_per_token": True,
    }
    if wanted.schema:
        body["json_schema"] = json.loads(wanted.schema)
    return body
