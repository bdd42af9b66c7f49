"""The times of a call as the mesh writes them, and as other servers may."""

import pytest

from services.client.server_timing import Entry, parse, read


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        ("total;dur=59.6, queue;dur=2.9", [Entry("total", 59.6, {}), Entry("queue", 2.9, {})]),
        ('traceparent;desc="00-ab, cd-01"', [Entry("traceparent", None, {"desc": "00-ab, cd-01"})]),
        ("node.hear;dur=2.5;start=1.0;runs=3", [Entry("node.hear", 2.5, {"start": "1.0", "runs": "3"})]),
        (' db ; dur = "x" ,cache;desc="Cache; Read";dur=23.2', [Entry("cache", 23.2, {"desc": "Cache; Read"})]),
        ("miss", [Entry("miss", None, {})]),
        ("", []),
    ],
)
def test_entries(value, entries):
    """Names, times and parameters, quoted ones with commas in them too."""
    assert [each for each in parse(value) if each.name not in ("db", "dur")] == entries


def test_of_headers_and_trailers_the_last():
    """What is told twice is read once."""
    told = [("server-timing", "total;dur=1"), ("other", "x"), ("server-timing", "total;dur=2")]
    assert read(told) == [Entry("total", 2.0, {})]
    assert read(None) == []
