"""What calls leave in the metrics, read as Prometheus reads it: over HTTP, in its formats."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable, Iterator

import grpc
import pytest
from opentelemetry import trace
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from services.mesh import errors
from services.mesh.client import trace_metadata
from services.mesh.instruments import DECLARED
from services.mesh.server import serving
from tests.integration.test_client import METHOD, SETTINGS, Nlp, ask, channel_to
from tests.integration.test_interceptors import KINDS, SERVICE, call, echo, fails, nothing

ACCEPT = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
def scrape(measured, _registry: CollectorRegistry) -> Iterator[Callable[..., list[Metric]]]:
    """All that a scraper gets, in either format."""
    server, thread = start_http_server(0, "127.0.0.1", _registry)

    def get(accept: str = "text/plain") -> list[Metric]:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
            parse = open_metrics if answer.headers["Content-Type"].startswith("application/openmetrics-text") else plain
            return list(parse(answer.read().decode()))

    yield get
    server.shutdown()
    server.server_close()
    thread.join()


async def scraped(scrape, name: str, accept: str = "text/plain", **labels: str):
    """The samples with such a name and labels."""
    families = await asyncio.to_thread(scrape, accept)
    return [
        sample
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_slow_bucket_leads_to_a_trace(kind, scrape, spans):
    """The bucket of a sampled call carries its trace id in OpenMetrics, at every scrape, and for every kind of RPC."""
    with trace.get_tracer("test").start_as_current_span("the caller") as span:
        async with echo(nothing) as (channel, _):
            await call(channel, kind, metadata=trace_metadata())
    wanted = format(span.get_span_context().trace_id, "032x")
    for _ in range(2):
        buckets = await scraped(
            scrape, "rpc_server_call_duration_seconds_bucket", ACCEPT, rpc_method=f"{SERVICE}/{kind}"
        )
        found = [sample.exemplar for sample in buckets if sample.exemplar]
        assert wanted in {exemplar.labels["trace_id"] for exemplar in found}
    assert all(len(exemplar.labels["span_id"]) == 16 for exemplar in found)


async def test_calls_without_a_trace_leave_no_exemplar(scrape, spans):
    """A call that its caller did not sample is counted, and leads nowhere."""
    async with echo(lambda context: fails(errors.Aborted("gone"))) as (channel, _):
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "unary_unary", metadata=[("traceparent", f"00-{'1' * 32}-{'2' * 16}-00")])
    # Other tests of the same process make other methods end so.
    labels = {"rpc_method": f"{SERVICE}/unary_unary", "rpc_response_status_code": "ABORTED"}
    buckets = await scraped(scrape, "rpc_server_call_duration_seconds_bucket", ACCEPT, **labels)
    assert max(sample.value for sample in buckets) == 1
    assert not any(sample.exemplar for sample in buckets)


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_and_their_messages_are_counted(kind, measured):
    """Each message in and out while it passes; open streams while they are open; unary calls are no streams."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def wait(_):
        entered.set()
        await leave.wait()

    method = f"{SERVICE}/{kind}"
    async with echo(wait) as (channel, _):
        running = asyncio.create_task(call(channel, kind))
        await asyncio.wait_for(entered.wait(), 5)
        open_streams = measured.now("maas_stream_active", rpc_method=method)
        assert measured.now("maas_server_active_calls", rpc_method=method) == 1
        leave.set()
        answers = await running
    streams = kind != "unary_unary"
    assert open_streams == streams
    assert measured.now("maas_stream_active", rpc_method=method) == 0
    assert measured.now("maas_server_active_calls", rpc_method=method) == 0
    name = "maas_stream_messages_total"
    counted = [measured.added(name, rpc_method=method, maas_direction=way) for way in ("in", "out")]
    assert counted == ([1, len(answers)] if streams else [0, 0])


async def test_a_call_that_grpc_made_again_is_counted(measured):
    """Retries of gRPC's own, which no code of ours sees, are told by the server that gets them."""
    nlp = Nlp(errors.Unavailable("busy"), errors.Unavailable("busy"))
    async with serving([nlp.servicer()], SETTINGS) as port, channel_to(port) as channel:
        await ask(channel)
        await ask(channel)
    assert measured.added("maas_server_retried_calls_total", rpc_method=METHOD) == 2
    assert measured.added("rpc_server_call_duration_seconds_count", rpc_method=METHOD) == 4
    assert measured.added("rpc_client_call_duration_seconds_count", rpc_method=METHOD) == 2


async def test_no_caller_makes_series(scrape, measured):
    """Unknown methods, paths and metadata, however they are written, change no label of any metric."""

    def labels() -> set[tuple[str, str, str]]:
        return {
            (sample.name, label, value)
            for family in scrape()
            for sample in family.samples
            for label, value in sample.labels.items()
        }

    async with echo(nothing) as (channel, _):
        await call(channel, "unary_unary")
        before = await asyncio.to_thread(labels)
        for path in (f"/{SERVICE}/canary", "/canary/unary_unary", f"/{SERVICE}/unary_unary/x", '/maas.{x="canary"}'):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(path)(b"canary", timeout=5, metadata=[("canary", "canary")])
        await call(channel, "unary_unary", metadata=[("grpc-previous-rpc-attempts", "canary"), ("baggage", "a=canary")])
        after = await asyncio.to_thread(labels)
    new = {(label, value) for name, label, value in after - before}
    assert new <= {("rpc_method", f"{SERVICE}/unary_unary")}  # which was called again


async def test_everything_that_is_exposed_is_declared(scrape, measured):
    """Names, units and labels are those of services.mesh.instruments, which says of each what it is."""
    async with echo(nothing) as (channel, _):
        await call(channel, "stream_stream")
    found = {family.name: family for family in await asyncio.to_thread(scrape, ACCEPT)}
    declared = {
        name.replace(".", "_") + ("_seconds" if known.unit == "s" else ""): known for name, known in DECLARED.items()
    }
    assert "rpc_server_call_duration_seconds" in found
    for name, family in found.items():
        if name == "target":
            continue
        known = declared[name]
        assert family.documentation == known.says
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= {label.replace(".", "_") for label in known.labels}, name
