"""Splits texts into the token ids of a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from services.mesh import errors
from services.mesh.ports import Tokens

PADDING_ID = 0


class Tokenizers:
    """Tokenizers by name. Threads may use one at the same time: nothing in it changes after it was loaded."""

    def __init__(self, tokenizers: Mapping[str, Tokenizer]) -> None:
        self._tokenizers = dict(tokenizers)
        for tokenizer in self._tokenizers.values():
            # Files may bring a length to cut and pad to; here the request has one, and padding is to the longest text.
            tokenizer.no_truncation()
            tokenizer.no_padding()

    @classmethod
    def load(cls, directory: Path) -> Tokenizers:
        """Every <name>.json of a directory, which may be absent. Raises ValueError for a file that is no tokenizer."""
        return cls({file.stem: _read(file) for file in sorted(directory.glob("*.json"))})

    @property
    def names(self) -> list[str]:
        """The names that `encode` takes, in order."""
        return sorted(self._tokenizers)

    def encode(self, texts: Sequence[str], *, tokenizer: str, max_tokens: int) -> Tokens:
        """Token ids with the tokenizer's special tokens, padded on the right with 0.

        max_tokens: the longest answer, special tokens included; what lies beyond is cut and marked.
        Raises NotFound, or InvalidArgument when the special tokens alone are more than max_tokens.
        """
        chosen = self._pick(tokenizer)
        room = max_tokens - chosen.num_special_tokens_to_add(is_pair=False)
        if room < 0:
            raise errors.InvalidArgument.field("max_tokens", f"{tokenizer} adds {max_tokens - room} tokens of its own")
        encodings = chosen.encode_batch_fast(list(texts), add_special_tokens=False)
        truncated = tuple(len(encoding) > room for encoding in encodings)
        for encoding in encodings:
            encoding.truncate(room)
        rows = [chosen.post_process(encoding).ids for encoding in encodings]
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), PADDING_ID, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return Tokens(ids, mask, truncated)

    def _pick(self, name: str) -> Tokenizer:
        if not name:
            raise errors.InvalidArgument.field("tokenizer", "is required")
        if name not in self._tokenizers:
            raise errors.NotFound.named("tokenizer", name, self.names)
        return self._tokenizers[name]


def _read(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    # The library raises bare Exception.
    except Exception as error:
        raise ValueError(f"{file} is not a tokenizer that Hugging Face's tokenizers can read: {error}") from error
