"""Which language each text of a batch is in: as its caller says, else detected."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh import errors
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


def require_code(field: str, language_code: str, *, optional: bool = True) -> str:
    """The tag as given. Raises InvalidArgument for what cannot be a BCP-47 tag, or is missing but needed."""
    if not language_code and optional:
        return language_code
    parts = language_code.replace("_", "-").split("-")
    alphabetic = parts[0].isascii() and parts[0].isalpha() and 2 <= len(parts[0]) <= 3  # noqa: PLR2004 - ISO 639
    if not alphabetic or not all(part.isascii() and part.isalnum() and len(part) <= 8 for part in parts):  # noqa: PLR2004 - BCP 47
        raise errors.InvalidArgument.field(field, "takes a BCP-47 tag such as en or zh-CN")
    return language_code
