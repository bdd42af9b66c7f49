"""What a process tells Prometheus."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def samples(url: str, name: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by their label values."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def tokens_written(port: int) -> int:
    """How many tokens the language models of a Triton have written since they were loaded. port: of its metrics."""
    return int(sum(samples(f"http://127.0.0.1:{port}/metrics", "maas_generated_tokens_total").values()))
