"""Fixtures of all tests."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from deploy.local.scraping import programs
from deploy.local.settings import LocalSettings
from services.mesh import logs
from services.mesh.exposition import PrometheusReader
from services.mesh.telemetry import start_traces
from tests.measured import Measured


@pytest.fixture(scope="session")
def _exporter() -> InMemorySpanExporter:
    """OpenTelemetry takes one provider a process."""
    exporter = InMemorySpanExporter()
    start_traces("tests", SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(_exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    """The spans that this test finished."""
    _exporter.clear()
    yield _exporter
    _exporter.clear()


@pytest.fixture(scope="session")
def _registry() -> CollectorRegistry:
    """As with traces, one provider a process."""
    registry = CollectorRegistry()
    metrics.set_meter_provider(MeterProvider(metric_readers=[PrometheusReader(registry)]))
    return registry


@pytest.fixture
def measured(_registry: CollectorRegistry) -> Measured:
    """What this test measures."""
    return Measured(_registry)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the real logs write while this test runs, as JSON lines; of our code and of libraries."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = structlog.get_config()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", text)
        logs.start("tests", "json", "info")
    # Otherwise loggers of modules would keep this test's stream.
    structlog.configure(cache_logger_on_first_use=False)
    ours = logging.getLogger().handlers[:]
    yield text
    for each in ours:
        logging.getLogger().removeHandler(each)
    logging.captureWarnings(capture=False)
    structlog.configure(**before)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers and channels opened from here on hold 64 KiB of a stream that nobody reads.

    gRPC enlarges that as it measures the way to the peer, on a busy machine up to all that there is to send.
    """

    def opened(open_one: Any, *args: Any, options: Any = (), **named: Any) -> Any:
        return open_one(*args, options=[*(options or ()), ("grpc.http2.bdp_probe", 0)], **named)

    for name in ("server", "insecure_channel"):
        monkeypatch.setattr(grpc.aio, name, partial(opened, getattr(grpc.aio, name)))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus's tool that checks rules; `make test` fetches it where there are Debian's packages."""
    found = programs(LocalSettings().build)
    if found is None:
        reason = "no promtool: run `make prometheus`, or put prometheus and promtool on PATH where that finds none"
        # What checks every change must not leave this out without a word.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found.promtool
