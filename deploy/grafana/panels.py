"""How a dashboard is put together: rows of panels in a grid of 24, from few words each.

Expressions name metrics without the environment: it is put into every selector here, so that none
can be forgotten. `RATE` stands for Grafana's `$__rate_interval`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${source}")
TAG = "relay"
#: The dashboard that has the pages of docs/operations (runbook.py), at whatever Grafana.
RUNBOOK = "/d/relay-runbook/relay-runbook"
_HEIGHT = {"stat": 4, "graph": 8, "heat": 8, "table": 8}
#: A metric with its selector, if it has one.
_METRIC = re.compile(r"\b((?:relay|process|python)_\w+|relay:[\w:]+|up)\b(\{[^}]*\})?(?!\()")
#: Words of PromQL that look like a metric here: names of labels after by, on, without.
_LABELS = re.compile(r"\b(?:by|on|without|group_left|group_right|ignoring) ?\([^)]*\)")

#: Steps of colour: (from what value on, colour).
Steps = Sequence[tuple[float | None, str]]
GOOD_ABOVE: Steps = ((None, "red"), (1, "green"))


@dataclass(frozen=True)
class Panel:
    """One panel. `series` are (expression, legend); the unit is Grafana's word for it."""

    kind: str
    title: str
    says: str
    series: Sequence[tuple[str, str]]
    unit: str = "short"
    width: int = 8
    steps: Steps = ()
    stacked: bool = False
    #: Columns of a table: label or `Value #A` -> heading.
    columns: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """A dashboard: rows of panels under headings, and the variables that it has."""

    uid: str
    title: str
    says: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[tuple[str, str]] = ()


def within(expression: str) -> str:
    """The expression for the environments that are chosen, with Grafana's interval."""
    kept: list[str] = []

    def hide(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    def narrow(found: re.Match[str]) -> str:
        more = (found[2] or "{}")[1:-1]
        return f'{found[1]}{{environment=~"$environment"{", " + more if more else ""}}}'

    hidden = _LABELS.sub(hide, expression)
    narrowed = _METRIC.sub(narrow, hidden).replace("RATE", "$__rate_interval")
    return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], narrowed)


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram over the fleet."""
    name, brace, selector = metric.partition("{")
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share}, sum by ({labels}) "
        f"(rate({name}_bucket{brace}{selector}[RATE])))"
    )


def build(board: Board) -> model.Dashboard:
    """The dashboard as the SDK has it."""
    built = (
        dashboard.Dashboard(f"Relay / {board.title}")
        .uid(board.uid)
        .description(board.says)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Relay")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .link(
            dashboard.DashboardLink("Runbook")
            .type(model.DashboardLinkType.LINK)
            .url(RUNBOOK)
            .icon("doc")
            .tooltip("What each alert means, and what to do")
            .target_blank(True)
        )
        .with_variable(dashboard.DatasourceVariable("source").type("prometheus").label("Source"))
        .with_variable(_variable("environment", "relay_build_info", "Environment"))
    )
    for name, metric in board.variables:
        within_ = f'{metric}{{environment=~"$environment"}}'
        built = built.with_variable(_variable(name, within_, name.capitalize()))
    top = 0
    number = 1
    for heading, panels in board.rows:
        built = built.with_row(dashboard.Row(heading).grid_pos(_at(0, top, 24, 1)).id(number))
        number, top, left, tallest = number + 1, top + 1, 0, 0
        for panel in panels:
            if left + panel.width > 24:
                left, top, tallest = 0, top + tallest, 0
            height = _HEIGHT[panel.kind]
            place = _at(left, top, panel.width, height)
            built = built.with_panel(_panel(panel).id(number).grid_pos(place))
            number, left, tallest = number + 1, left + panel.width, max(tallest, height)
        top += tallest
    return built.build()


def _at(left: int, top: int, width: int, height: int) -> model.GridPos:
    return model.GridPos(x=left, y=top, w=width, h=height)


def _variable(name: str, series: str, label: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(f"label_values({series}, {name})")
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


_Built = stat.Panel | timeseries.Panel | heatmap.Panel | table.Panel


def _panel(panel: Panel) -> _Built:
    makers: dict[str, Callable[[Panel], _Built]] = {
        "stat": _stat,
        "graph": _graph,
        "heat": _heat,
        "table": _table,
    }
    return makers[panel.kind](panel)


def _query(
    expression: str, legend: str, number: int, *, instant: bool = False
) -> prometheus.Dataquery:
    query = (
        prometheus.Dataquery()
        .expr(within(expression))
        .legend_format(legend)
        .ref_id("ABCDEFGH"[number])
        .datasource(SOURCE)
    )
    return query.instant() if instant else query.range()


def _stat(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .color_mode(words.BigValueColorMode.VALUE)
        .graph_mode(words.BigValueGraphMode.AREA)
        .thresholds(_thresholds(panel.steps))
    )
    for number, (expression, legend) in enumerate(panel.series):
        built = built.with_target(_query(expression, legend, number))
    return built


def _graph(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .line_width(1)
        .fill_opacity(25 if panel.stacked else 8)
        .show_points(words.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(words.LegendDisplayMode.LIST)
            .placement(words.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(words.TooltipDisplayMode.MULTI))
    )
    if panel.stacked:
        built = built.stacking(common.StackingConfig().mode(words.StackingMode.NORMAL))
    if panel.steps:
        built = built.thresholds(_thresholds(panel.steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(words.GraphThresholdsStyleMode.LINE)
        )
    for number, (expression, legend) in enumerate(panel.series):
        built = built.with_target(_query(expression, legend, number).exemplar(True))
    return built


def _heat(panel: Panel) -> heatmap.Panel:
    built = (
        heatmap.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(SOURCE)
        .calculate(False)
        .cell_gap(1)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heat.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
        .show_legend()
    )
    for number, (expression, legend) in enumerate(panel.series):
        query = _query(expression, legend, number).format(PromQueryFormat.HEATMAP)
        built = built.with_target(query)
    return built


def _table(panel: Panel) -> table.Panel:
    built = table.Panel().title(panel.title).description(panel.says).datasource(SOURCE)
    for number, (expression, legend) in enumerate(panel.series):
        query = _query(expression, legend, number, instant=True).format(PromQueryFormat.TABLE)
        built = built.with_target(query)
    if len(panel.series) > 1:
        built = built.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    built = built.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "indexByName": {name: at for at, name in enumerate(panel.columns)},
                "renameByName": panel.columns,
            },
        )
    )
    for name, unit in panel.units.items():
        built = built.override_by_name(name, [model.DynamicConfigValue(id_val="unit", value=unit)])
    return built.unit(panel.unit)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    chosen = steps or ((None, "green"),)
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for value, color in chosen])
    )
