"""What a dashboard is made of, and how Grafana writes it: with Grafana's own generated types, so that it is sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueGraphMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    VariableHide,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "maas-mesh"
_DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_COLUMNS = 24
_HEIGHTS = {"lines": 8, "number": 4, "table": 9}


@dataclass(frozen=True)
class Query:
    """PromQL and what its series are called; legend: with {{label}} for the values of labels."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """A question and its answer.

    summary: what is seen and when it is bad.  unit: one of Grafana's.  kind: "lines", "number" or "table".
    width: of 24 columns.  empty: why a mesh that is well may have no series, "" when it must have some.
    """

    title: str
    summary: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "lines"
    width: int = 8
    empty: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top: the values of a label of a metric. Panels write label=~"$name", since all can be chosen."""

    name: str
    metric: str
    label: str


@dataclass(frozen=True)
class Board:
    """A dashboard. uid: in its address, and the name of its file."""

    uid: str
    title: str
    summary: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> list[Panel]:
        """All of them."""
        return [panel for row in self.rows for panel in row.panels]


def render(board: Board) -> str:
    """The dashboard as Grafana imports it: JSON."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.summary)
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .editable()
        .with_variable(
            dashboard.DatasourceVariable("datasource")
            .type("prometheus")
            .label("Prometheus")
            .hide(VariableHide.DONT_HIDE)
        )
    )
    for variable in board.variables:
        built.with_variable(
            dashboard.QueryVariable(variable.name)
            .datasource(_DATASOURCE)
            .query(f"label_values({variable.metric}, {variable.label})")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)  # noqa: FBT003 - Grafana's own signature
            .all_value(".*")
            .multi(True)  # noqa: FBT003 - Grafana's own signature
        )
    built.link(
        dashboard.DashboardLink("MaaS dashboards")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)  # noqa: FBT003 - Grafana's own signature
        .keep_time(True)  # noqa: FBT003 - Grafana's own signature
    )
    number, top = 1, 0
    for row in board.rows:
        # A row lies among the panels as one of them: given as a row it would be put below all of them.
        heading: Any = dashboard.Row(row.title).id(number).grid_pos(GridPos(h=1, w=_COLUMNS, x=0, y=top))
        built.with_panel(heading)
        number, top, left, height = number + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top, height = 0, top + height, 0
            place = GridPos(h=_HEIGHTS[panel.kind], w=panel.width, x=left, y=top)
            built.with_panel(_panel(panel).id(number).grid_pos(place))
            number, left, height = number + 1, left + panel.width, max(height, place.h)
        top += height
    return JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"


def _panel(panel: Panel) -> Any:
    if panel.kind == "number":
        built: Any = (
            stat.Panel()
            .graph_mode(BigValueGraphMode.AREA)
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        )
    elif panel.kind == "table":
        built = table.Panel()
    else:
        built = (
            timeseries.Panel()
            .min(0)
            .fill_opacity(8)
            .legend(
                common.VizLegendOptions()
                .show_legend(True)  # noqa: FBT003 - Grafana's own signature
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
            )
        )
    built = built.title(panel.title).description(panel.summary).unit(panel.unit).datasource(_DATASOURCE)
    built = built.no_value(panel.empty or "no data")
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + number)).legend_format(query.legend)
        if panel.kind == "table":
            target = target.instant().format(PromQueryFormat.TABLE)
        else:
            # A point of a histogram leads to the trace of a call, where Prometheus keeps exemplars.
            target = target.range().exemplar("_bucket" in query.expr)
        built = built.with_target(target)
    return built
