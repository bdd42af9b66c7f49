"""A trace drawn in a terminal."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from services.cli import waterfall
from services.cli.waterfall import Span

# maas -> gateway -> router -> node -> vision -> triton, as each process sends it.
SPANS = [
    Span("a", "", "maas", "maas.router.v1.RouterService/RunGraph", "CLIENT", 1000, 1100, failed=False),
    Span("b", "a", "gateway", "ingress", "SERVER", 1010, 1100, failed=False),
    Span("c", "b", "router", "maas.router.v1.RouterService/RunGraph", "SERVER", 1020, 1100, failed=False),
    Span("d", "c", "router", "maas.vision.v1.VisionService/ClassifyImage", "CLIENT", 1020, 1100, failed=False),
    Span("e", "d", "vision", "maas.vision.v1.VisionService/ClassifyImage", "SERVER", 1030, 1100, failed=True),
    Span("f", "e", "triton", "triton compute", "INTERNAL", 1050, 1100, failed=False),
]


def drawn(spans: list[Span]) -> list[str]:
    """The lines of a waterfall without its head."""
    out = io.StringIO()
    Console(file=out, width=80).print(waterfall.draw(spans))
    return [line.rstrip() for line in out.getvalue().splitlines()[1:]]


def test_stages_stand_below_what_caused_them():
    """Each stage is indented below its cause; a client's span gives way to the server's own."""
    lines = drawn(list(reversed(SPANS)))
    stages = [line.partition("━")[0].rstrip() for line in lines]
    assert stages == [
        "gateway ingress",
        "  router RunGraph",
        "    vision ClassifyImage",
        "      triton compute",
    ]
    assert lines[-1].endswith("50 ms")
    assert all(len(line) <= 80 for line in lines)


def test_bars_end_where_stages_end():
    """Stages that end together have bars that end together, and one of half the time has a bar of half the length."""
    lines = drawn(SPANS)
    assert len({line.rindex("━") for line in lines}) == 1
    assert lines[-1].count("━") == 13


def test_a_stage_whose_cause_is_missing_is_shown():
    """A span whose parent never arrived is a root of its own, not lost."""
    lines = drawn([span for span in SPANS if span.span_id != "c"])
    assert [line.split()[:2] for line in lines] == [
        ["gateway", "ingress"],
        ["vision", "ClassifyImage"],
        ["triton", "compute"],
    ]


def test_no_spans_are_no_stages():
    """A trace of which nothing arrived draws nothing and fails nowhere."""
    assert drawn([]) == []


@contextmanager
def tracing_ui(answers: list[list[Span]], asked: list[object]) -> Iterator[str]:
    """A tracing UI that gives one answer after another, the last one for ever; what it was asked lands in `asked`."""

    class Ui(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            spans = answers.pop(0) if len(answers) > 1 else answers[0]
            found = [
                {
                    "spanId": each.span_id,
                    "parentSpanId": each.parent_id or None,
                    "name": each.name,
                    "kind": each.kind,
                    "startTime": each.begin,
                    "endTime": each.end,
                    "attributes": {"service.name": each.service},
                    "status": {"code": "ERROR" if each.failed else "UNSET"},
                }
                for each in spans
            ]
            body = json.dumps({"traces": [{"traceId": "1", "spans": found}] if found else [], "nextCursor": None})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ui)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_trace_is_asked_for_until_every_process_has_sent(monkeypatch: pytest.MonkeyPatch):
    """Spans arrive in batches: the UI is asked again until each of the services is there, and not longer."""
    monkeypatch.setattr(waterfall, "_POLL_SECONDS", 0)
    asked: list[object] = []
    with tracing_ui([[], SPANS[:3], SPANS], asked) as ui:
        spans = waterfall.wait_for(ui, "0af7", ["gateway", "router", "vision", "triton"], timeout_seconds=30)
    assert spans == SPANS
    assert asked == [("/api/query/traces", {"query": "trace_id = 0af7", "limit": 1})] * 3


def test_what_is_there_when_the_time_is_over_is_given():
    """A service that never sends does not hold up what the others sent."""
    with tracing_ui([[replace(SPANS[0])]], []) as ui:
        assert waterfall.wait_for(ui, "0af7", ["triton"], timeout_seconds=0) == SPANS[:1]
