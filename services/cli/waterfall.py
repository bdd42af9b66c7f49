"""A trace as the local tracing UI has it, drawn in a terminal."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from rich.table import Table
from rich.text import Text

from services.cli.output import milliseconds, span, table

_POLL_SECONDS = 0.25
_BAR_WIDTH = 26
_LABEL_WIDTH = 40


@dataclass(frozen=True)
class Span:
    """One stage of a trace. Times are milliseconds since 1970."""

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    begin: float
    end: float
    failed: bool

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Span:
        """A span as the tracing UI's API writes it."""
        return cls(
            span_id=found["spanId"],
            parent_id=found.get("parentSpanId") or "",
            service=str(found.get("attributes", {}).get("service.name", "")),
            name=found["name"],
            kind=found.get("kind", ""),
            begin=found["startTime"],
            end=found["endTime"],
            failed=found.get("status", {}).get("code") == "ERROR",
        )


def fetch(ui: str, trace_id: str) -> list[Span]:
    """The spans of a trace that have reached the tracing UI at host:port so far. Raises OSError when it is gone."""
    connection = HTTPConnection(ui, timeout=5)
    try:
        query = json.dumps({"query": f"trace_id = {trace_id}", "limit": 1})
        connection.request("POST", "/api/query/traces", query, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    except (HTTPException, json.JSONDecodeError) as error:
        raise OSError(f"the tracing UI answered strangely: {error}") from None
    finally:
        connection.close()
    return [Span.from_json(each) for trace in answer.get("traces", []) for each in trace["spans"]]


def wait_for(ui: str, trace_id: str, services: Collection[str], timeout_seconds: float) -> list[Span]:
    """The spans of a trace once each of these services has sent some, or what is there when the time is over.

    Processes send their spans in batches, so that a trace is whole some seconds after the call.
    """
    until = time.monotonic() + timeout_seconds
    spans = fetch(ui, trace_id)
    while time.monotonic() < until and not set(services) <= {each.service for each in spans}:
        time.sleep(_POLL_SECONDS)
        spans = fetch(ui, trace_id)
    return spans


def draw(spans: Sequence[Span]) -> Table:
    """A line a stage, below and indented to the stage that caused it, with a bar for when it ran.

    A client's span is left out where the server's own, which tells the same, is there.
    """
    children: dict[str, list[Span]] = defaultdict(list)
    known = {each.span_id for each in spans}
    for each in sorted(spans, key=lambda each: each.begin):
        children[each.parent_id if each.parent_id in known else ""].append(each)
    begin = min((each.begin for each in spans), default=0.0)
    whole = max((each.end for each in spans), default=0.0) - begin or 1.0
    made = table("stage", "", "took", right="took")

    def add(stage: Span, depth: int) -> None:
        below = children[stage.span_id]
        shown = not (stage.kind == "CLIENT" and any(each.kind == "SERVER" for each in below))
        if shown:
            name = stage.name.rpartition("/")[2]
            label = name if name.startswith(stage.service) else f"{stage.service} {name}"
            made.add_row(
                Text(f"{'  ' * depth}{label}"[:_LABEL_WIDTH], "red" if stage.failed else ""),
                span((stage.begin - begin) / whole, (stage.end - begin) / whole, _BAR_WIDTH),
                milliseconds((stage.end - stage.begin) / 1000),
            )
        for each in below:
            add(each, depth + shown)

    for root in children[""]:
        add(root, 0)
    return made
