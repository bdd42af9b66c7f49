"""What is counted of texts that a language model writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.mesh.instruments import FIRST_TOKEN, GENERATOR, TOKEN_TYPE, TOKENS_USED


@dataclass
class Generation:
    """One text. model: by its name in Triton."""

    model: str
    _began: float = field(default_factory=time.perf_counter)
    _tokens: tuple[int, int] | None = None

    def wrote(self, input_tokens: int, output_tokens: int) -> None:
        """More has come. Tokens of the whole until now."""
        if self._tokens is None:
            FIRST_TOKEN.record(time.perf_counter() - self._began, {GENERATOR: self.model})
        self._tokens = input_tokens, output_tokens

    def end(self) -> None:
        """Nothing more comes."""
        if self._tokens is not None:
            for kind, count in zip(("input", "output"), self._tokens, strict=True):
                TOKENS_USED.record(count, {GENERATOR: self.model, TOKEN_TYPE: kind})


@contextmanager
def generation(model: str) -> Iterator[Generation]:
    """A text that is written inside the block; one that is left early counts as far as it came."""
    counted = Generation(model)
    try:
        yield counted
    finally:
        counted.end()
