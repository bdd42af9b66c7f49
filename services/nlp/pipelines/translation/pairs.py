"""Which languages translate into which here, by which model and how well: as the models' catalog entries state it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from services.mesh import errors
from services.mesh.models import ModelCard, primary_subtag

# Regions and scripts written in traditional characters, which no model here was measured to write.
_TRADITIONAL = frozenset(("hant", "tw", "hk", "mo"))


class Quality(Enum):
    """How well a pair translates, as measured."""

    GOOD = "good"
    FAIR = "fair"


@dataclass(frozen=True, slots=True)
class Pair:
    """A model that translates from one language into another. chrf: 0..100, as measured."""

    source: str
    target: str
    card: ModelCard
    quality: Quality
    chrf: float


class Pairs:
    """The pairs that some models offer."""

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        """cards: each may list, as `language_pairs` of its preprocessing: source, target, quality and chrf."""
        self._pairs = [
            Pair(each["source"], each["target"], card, Quality(each["quality"]), float(each["chrf"]))
            for card in cards
            for each in card.preprocess.get("language_pairs", ())
        ]
        self._pairs.sort(key=lambda pair: (pair.source, pair.target, pair.quality is Quality.FAIR, -pair.chrf))

    def listing(self, source: str = "", target: str = "") -> list[Pair]:
        """Those from and into these languages, "" meaning all; by source and target, the best first."""
        return [
            pair
            for pair in self._pairs
            if (not source or pair.source == _own(source)) and (not target or pair.target == _own(target))
        ]

    def pick(self, source: str, target: str, model: str = "") -> Pair:
        """The best model for a pair. Raises InvalidArgument, listing the targets that there are."""
        able = [pair for pair in self.listing(source) if not model or pair.card.name == model]
        found = next((pair for pair in able if pair.target == _own(target)), None)
        if found is None:
            by = f" by model {model!r}" if model else ""
            targets = ", ".join(sorted({pair.target for pair in able})) or "none"
            sources = "" if able else f"; languages that are translated{by}: {self._sources(model)}"
            raise errors.InvalidArgument.field(
                "target_language_code",
                f"{source} is not translated into {target}{by}; targets for {source}: {targets}{sources}",
            )
        return found

    def _sources(self, model: str) -> str:
        found: Sequence[str] = sorted({pair.source for pair in self._pairs if not model or pair.card.name == model})
        return ", ".join(found) or "none"


def same(source: str, target: str) -> bool:
    """Whether two tags mean one language in one script."""
    return _own(source) == _own(target)


def _own(language_code: str) -> str:
    """The code that models list for a BCP-47 tag."""
    parts = language_code.lower().replace("_", "-").split("-")
    return "zh-Hant" if parts[0] == "zh" and _TRADITIONAL & set(parts) else primary_subtag(language_code)
