"""Rules about objectives: how fast each one's budget of bad calls burns, and alerts when that is too fast.

Of the Google SRE workbook, "Alerting on SLOs": an alert looks at two windows. The long one says that much of the budget
is gone; the short one that it still burns, so that the alert ends soon after its cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.observability.objectives import FASTEST_BURN, Objectives

# What rules write: bad calls and all calls a second, the share of bad ones over a window (its name follows), the share
# that may be bad, and how much of that is left of the period.
BAD, CALLS, RATIO = "maas:slo_bad:rate5m", "maas:slo_calls:rate5m", "maas:slo_bad:ratio_rate"
BUDGET, LEFT = "maas:slo_budget:ratio", "maas:slo_budget_left:ratio"


@dataclass(frozen=True)
class Burn:
    """When an alert is due.

    factor: how many times faster than the budget allows. gone: how much of the budget, in the long window.
    """

    short: str
    long: str
    factor: float
    severity: str
    gone: str


BURNS = (
    Burn("5m", "1h", FASTEST_BURN, "page", "2 %"),
    Burn("30m", "6h", 6, "page", "5 %"),
    Burn("2h", "1d", 3, "ticket", "10 %"),
    Burn("6h", "3d", 1, "ticket", "10 %"),
)
# A few calls tell nothing: of three, one that failed would be a third.
_LEAST_CALLS = 20
# How often rates are written down, each with the calls of a second: so many of them add up to the calls of a window.
_INTERVAL_SECONDS = 30
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def seconds(window: str) -> int:
    """Of "5m", "1h" or "3d"."""
    return int(window[:-1]) * _SECONDS[window[-1]]


def rule_groups(promised: Objectives) -> list[dict[str, Any]]:
    """The groups of a rule file of Prometheus.

    Only the first one looks at histograms; the rest is about what that one writes, whatever the objective.
    """
    measured = []
    for indicator in promised.indicators:
        labels = {"slo": indicator.name, "service": indicator.service}
        for name, expression in (
            (BAD, indicator.bad.replace("WINDOW", "5m")),
            (CALLS, indicator.all.replace("WINDOW", "5m")),
            (BUDGET, f"vector({indicator.budget:g})"),
        ):
            measured.append({"record": name, "expr": expression, "labels": dict(labels)})
    windows = sorted({window for burn in BURNS for window in (burn.short, burn.long)}, key=seconds)
    burning = [{"record": f"{RATIO}{window}", "expr": _ratio(window)} for window in windows]
    # Prometheus may keep less than the period; then it is what is left since it began.
    left = {"record": LEFT, "expr": f"1 - ({_ratio(f'{promised.period_days}d')}) / {BUDGET}"}
    return [
        # Days of samples are added up each time: every few seconds would be dear.
        {"name": "objectives", "interval": f"{_INTERVAL_SECONDS}s", "rules": measured},
        {"name": "budgets", "interval": "30s", "rules": [*burning, *map(_alert, BURNS)]},
        {"name": "budgets-of-the-period", "interval": "2m", "rules": [left]},
    ]


def _ratio(window: str) -> str:
    """Of bad calls among all; no series where there were no calls."""
    return f"sum_over_time({BAD}[{window}]) / (sum_over_time({CALLS}[{window}]) > 0)"


def _alert(burn: Burn) -> dict[str, Any]:
    limit = f"{burn.factor:g} * {BUDGET}"
    return {
        "alert": "ErrorBudgetBurns",
        "expr": (
            f"{RATIO}{burn.long} > {limit} and {RATIO}{burn.short} > {limit} "
            f"and sum_over_time({CALLS}[{burn.long}]) * {_INTERVAL_SECONDS} >= {_LEAST_CALLS}"
        ),
        "labels": {"severity": burn.severity, "window": burn.long},
        "annotations": {
            "summary": (f"{{{{ $labels.slo }}}} burns its budget of bad calls at {burn.factor:g} times its pace"),
            "description": (
                f"Over {burn.long} {{{{ $value | humanizePercentage }}}} of the calls were bad; {burn.gone} of the "
                "period's budget is gone. slo.yaml says what is promised and what is bad."
            ),
            "runbook": "deploy/observability/runbook.md#errorbudgetburns",
        },
    }
