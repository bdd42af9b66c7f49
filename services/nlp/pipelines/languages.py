"""Which language each text of a batch is in: as its caller says, else detected."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh.deadline import Deadline
from services.mesh.models import primary_subtag
from services.mesh.ports import Preprocessor

# What detection reads; the beginning tells as much as the whole.
_MAX_CHARACTERS = 1000


class Languages:
    """Tells languages through preprocessing."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        self._preprocessor = preprocessor

    async def of(
        self, texts: Sequence[str], language_code: str, deadline: Deadline, *, least_confidence: float = 0.0
    ) -> list[str]:
        """The primary subtag of each text's language ("zh"), "" where it cannot be told.

        language_code: what the caller says of all of them, "" to detect each. texts: none of them empty.
        least_confidence: what is detected with less, 0..1, counts as not told.
        """
        if language_code:
            return [primary_subtag(language_code)] * len(texts)
        if not texts:
            return []
        heads = [text[:_MAX_CHARACTERS] for text in texts]
        found = await self._preprocessor.detect_language(heads, deadline=deadline)
        return [primary_subtag(each.language_code) if each.confidence >= least_confidence else "" for each in found]
