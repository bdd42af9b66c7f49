"""What instruments have measured, in the words of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric


class Measured:
    """The samples of a registry, and what has been added to them since this was made."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._before = _samples(registry.collect())

    def now(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels at least; "rpc_method" and not "rpc.method"."""
        return self._sum(_samples(self._registry.collect()), name, labels)

    def added(self, name: str, **labels: str) -> float:
        """The same, less what it was in the beginning."""
        return self.now(name, **labels) - self._sum(self._before, name, labels)

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is such a sample, be it 0."""
        found = _samples(self._registry.collect())
        return any(each == name and labels.items() <= has for each, has in found)

    def values(self, name: str, label: str) -> set[str]:
        """All that a label of a metric is."""
        return {dict(labels).get(label, "") for each, labels in _samples(self._registry.collect()) if each == name}

    def saying(self, word: str) -> list[str]:
        """The samples with this word in a label, an exemplar or their name."""
        samples = [repr(sample) for family in self._registry.collect() for sample in family.samples]
        return [sample for sample in samples if word in sample]

    @staticmethod
    def _sum(samples: Counter[tuple[str, frozenset[tuple[str, str]]]], name: str, labels: dict[str, str]) -> float:
        return sum(value for (each, has), value in samples.items() if each == name and labels.items() <= has)


def _samples(families: Iterable[Metric]) -> Counter[tuple[str, frozenset[tuple[str, str]]]]:
    return Counter(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }
    )
