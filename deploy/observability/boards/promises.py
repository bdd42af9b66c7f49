"""What slo.yaml promises, and how much of each budget of bad calls is left."""

from __future__ import annotations

from deploy.observability.burning import BUDGET, CALLS, LEFT, RATIO
from deploy.observability.panels import Board, Panel, Query, Row, Variable

_SLO = '{slo=~"$slo"}'

BOARD = Board(
    "maas-objectives",
    "MaaS objectives",
    "What is promised, what was kept, and how fast budgets burn.",
    (
        Row(
            "Budgets",
            (
                Panel(
                    "Left of the period's budget",
                    "1 is all, below 0 the promise is broken.",
                    (Query(f"sort({LEFT}{_SLO})", "{{slo}}"),),
                    "percentunit",
                    "table",
                    12,
                ),
                Panel(
                    "Allowed",
                    "The share of calls that may be bad.",
                    (Query(f"sort({BUDGET}{_SLO})", "{{slo}}"),),
                    "percentunit",
                    "table",
                    12,
                ),
            ),
        ),
        Row(
            "Burning",
            (
                Panel(
                    "Burn over an hour",
                    "1 uses the budget up exactly at the end of the period; at 14.4 somebody is woken.",
                    (Query(f"{RATIO}1h{_SLO} / {BUDGET}{_SLO}", "{{slo}}"),),
                    "short",
                    width=12,
                ),
                Panel(
                    "Burn over three days",
                    "Above 1 there is a ticket.",
                    (Query(f"{RATIO}3d{_SLO} / {BUDGET}{_SLO}", "{{slo}}"),),
                    "short",
                    width=12,
                ),
                Panel(
                    "Bad calls, five minutes",
                    "The share of bad calls.",
                    (Query(f"{RATIO}5m{_SLO}", "{{slo}}"),),
                    "percentunit",
                    width=12,
                ),
                Panel(
                    "Calls", "That count for each promise.", (Query(f"{CALLS}{_SLO}", "{{slo}}"),), "reqps", width=12
                ),
                Panel(
                    "Budgets that burn",
                    "Alerts that fire, by promise.",
                    (Query('ALERTS{alertname="ErrorBudgetBurns"}', "{{slo}} {{window}} {{alertstate}}"),),
                    "short",
                    width=24,
                    empty="none burns",
                ),
            ),
        ),
    ),
    (Variable("slo", "maas:slo_budget:ratio", "slo"),),
)
