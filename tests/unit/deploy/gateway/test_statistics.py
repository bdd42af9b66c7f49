"""What Envoy counts, and promises are measured by (deploy/observability/objectives.py)."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from typing import Any

from deploy.observability.objectives import REACHED


async def test_calls_that_reach_no_service_are_told_from_those_that_fail_there(gateway: Any) -> None:
    """503 is counted for a service that is away, and not for one that says itself that it is UNAVAILABLE."""
    before = await _counted(gateway.admin)
    for _ in range(3):
        assert (await gateway.http("GET", "/v1/vision/config"))[0] == 503
        assert (await gateway.http("POST", "/v1/nlp:analyzeSentiment", {"contents": ["unavailable"]}))[0] == 503
    after = await _counted(gateway.admin)
    added = {key: value - before.get(key, 0) for key, value in after.items() if value > before.get(key, 0)}
    assert added == {
        (REACHED, "vision", "503"): 3,
        (f"{REACHED}_completed", "vision", ""): 3,
        (REACHED, "nlp", "200"): 3,
        (f"{REACHED}_completed", "nlp", ""): 3,
    }


# Not with a parser for Python: it makes upstream_rq and upstream_rq_total one.
_SAMPLE = re.compile(
    rf'^({REACHED}(?:_completed)?)\{{(?:envoy_response_code="(\d+)",)?envoy_cluster_name="(\w+)"\}} (\d+)$',
    re.MULTILINE,
)


async def _counted(admin: str) -> dict[tuple[str, str, str], int]:
    """Calls by metric, service and HTTP status."""
    answer = await asyncio.to_thread(urllib.request.urlopen, f"http://{admin}/stats/prometheus", timeout=10)
    with answer:
        found = _SAMPLE.findall(answer.read().decode())
    return {(name, service, code): int(value) for name, code, service, value in found}
