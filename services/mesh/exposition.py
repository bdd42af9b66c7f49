"""Metrics as Prometheus reads them: the text format, or OpenMetrics with exemplars when the scraper asks for that.

OpenTelemetry's own exporter drops exemplars, by which one comes from a slow bucket to the trace of a slow call.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricReader,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

# Units that Prometheus has at the end of names; the others of ours are only counted.
_UNITS = {"s": "seconds", "By": "bytes"}

_Point = tuple[str, tuple[str, ...], int]


class PrometheusReader(MetricReader):
    """Collects what OpenTelemetry counted whenever its registry is scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        # Several may scrape at once, each in a thread of its own.
        self._lock = threading.Lock()
        self._collected: MetricsData | None = None
        # By series and bucket. OpenTelemetry forgets them once they were collected, whoever scrapes next has none.
        self._exemplars: dict[_Point, Exemplar] = {}
        self._registry = registry
        self._scraped = _Scraped(self)
        registry.register(self._scraped)

    def families(self) -> Iterable[Family]:
        """Everything that was measured until now."""
        with self._lock:
            self._collected = None
            self.collect()
            if self._collected is None:
                return []
            found: list[Family] = []
            for resource in self._collected.resource_metrics:
                known = {_clean(key): str(value) for key, value in resource.resource.attributes.items()}
                found.append(InfoMetricFamily("target", "What is measured.", known))
                found += [self._family(metric) for scope in resource.scope_metrics for metric in scope.metrics]
            return found

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:  # noqa: ARG002 - OpenTelemetry's signature
        self._collected = metrics_data

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - OpenTelemetry's signature
        """Be scraped no more."""
        self._registry.unregister(self._scraped)

    def _family(self, metric: Metric) -> Family:
        name, unit, says = _clean(metric.name), _UNITS.get(metric.unit or "", ""), metric.description or ""
        data = metric.data
        labels = tuple(sorted({key for point in data.data_points for key in point.attributes or ()}))
        cleaned = [_clean(label) for label in labels]
        if isinstance(data, Histogram):
            histogram = HistogramMetricFamily(name, says, labels=cleaned, unit=unit)
            for point in data.data_points:
                values = _values(labels, point.attributes)
                histogram.add_metric(values, self._buckets(metric.name, values, point), point.sum)
            return histogram
        counts = isinstance(data, Sum) and data.is_monotonic
        family = (CounterMetricFamily if counts else GaugeMetricFamily)(name, says, labels=cleaned, unit=unit)
        for number in data.data_points:
            if isinstance(number, NumberDataPoint):
                family.add_metric(_values(labels, number.attributes), number.value)
        return family

    def _buckets(
        self, name: str, values: tuple[str, ...], point: HistogramDataPoint
    ) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
        """Upper bound, how many up to it, and a call of the last that fell between it and the bound before."""
        for new in point.exemplars:
            if new.trace_id and new.span_id:
                ids = {"trace_id": format(new.trace_id, "032x"), "span_id": format(new.span_id, "016x")}
                bucket = bisect_left(point.explicit_bounds, new.value)
                self._exemplars[name, values, bucket] = Exemplar(ids, new.value, new.time_unix_nano / 1e9)
        bounds = [*(str(float(bound)) for bound in point.explicit_bounds), "+Inf"]
        found: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        for bucket, (bound, count) in enumerate(zip(bounds, accumulate(point.bucket_counts), strict=True)):
            known = self._exemplars.get((name, values, bucket))
            found.append((bound, count, known) if known else (bound, count))
        return found


class _Scraped(Collector):
    """What the registry asks: a reader has a method `collect` of its own, with another meaning."""

    def __init__(self, reader: PrometheusReader) -> None:
        self._reader = reader

    def collect(self) -> Iterable[Family]:
        return self._reader.families()

    def describe(self) -> Iterable[Family]:
        """Nothing: what there will be is not known when the registry asks."""
        return []


def _clean(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _values(labels: Iterable[str], attributes: Mapping[str, Any] | None) -> tuple[str, ...]:
    return tuple(str((attributes or {}).get(label, "")) for label in labels)
