"""PromQL that several dashboards use.

Rates are over Grafana's $__rate_interval: four scrapes, or what is on the screen.
"""

from __future__ import annotations

from deploy.local.processes import SERVICES
from deploy.observability.objectives import DURATION, FAULTS

RATE = "$__rate_interval"
# The mesh's own targets, and nobody else's in a Prometheus that others use too.
OURS = f'{{job=~"{"|".join(("gateway", "triton", *SERVICES))}"}}'


def rate(metric: str, by: str, matching: str = "") -> str:
    """How much a counter grows a second. matching: "{label=...}"."""
    return f"sum by ({by}) (rate({metric}{matching}[{RATE}]))"


def quantile(share: float, metric: str, by: str, matching: str = "") -> str:
    """Of a histogram, by its name without _bucket."""
    return f"histogram_quantile({share:g}, sum by (le, {by}) (rate({metric}_bucket{matching}[{RATE}])))"


def mean(metric: str, by: str, matching: str = "") -> str:
    """Of a histogram; no series while nothing is measured."""
    return f"{rate(f'{metric}_sum', by, matching)} / ({rate(f'{metric}_count', by, matching)} > 0)"


def faults(by: str, matching: str = "") -> str:
    """The share of calls that fail by a fault of ours, 0 when none does.

    matching: without braces, with a comma at its end.
    """
    count = f"{DURATION}_count"
    everything = rate(count, by, f"{{{matching}}}")
    bad = rate(count, by, f'{{{matching}rpc_response_status_code=~"{"|".join(FAULTS)}"}}')
    # `or` gives those 0 of which there is no series of failures.
    return f"({bad} or {everything} * 0) / ({everything} > 0)"
