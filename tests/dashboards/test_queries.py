"""Every panel and every alert, asked of a real Prometheus that scrapes a system under load.

A query that is wrong, or that finds nothing where mail is sent, is a panel that stays empty just
when somebody looks at it.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.grafana.__main__ import HOME as BOARDS
from tests.dashboards.stage import staged
from tests.dashboards.test_alerts import HOME as RULES
from tests.support.prometheus import ENVIRONMENT, Prometheus, QueryFailed
from tests.support.source import eventually

#: Seconds that Prometheus and a rate look back.
_BACK = 15
#: Targets by panel's title that may be without a value here, and why.
EMPTY: dict[str, str] = {
    "A login takes, p99": "only passwords take long, and nobody has one",
    "Replicas have it in": "the store has no replicas",
}
#: A named site's series have moved.
_MOVED = 'rate(relay_path_recipients_total{site="mx.large2.test", outcome="deferred"}[15s]) > 0'
#: Metrics of alerts that are not Relay's own.
FOREIGN = ("node_filesystem_avail_bytes", "node_filesystem_size_bytes")

_SELECTOR = re.compile(r"\b((?:relay[_:]|up\b)[\w:]*)(\{[^}]*\})?(?!\w*\()")


def targets() -> Iterator[Any]:
    """Every query of every panel."""
    for path in sorted(BOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", ()):
                name = f"{path.stem}-{panel['title']}-{target['refId']}"
                yield pytest.param(panel, target, id=name.replace(" ", "_"))


def alerts() -> Iterator[Any]:
    """Every alert's expression."""
    text = (RULES / "alerts.yml").read_text("utf-8")
    for found in re.finditer(r"- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):", text, re.DOTALL):
        expression = found[2].removeprefix("|").strip()
        yield pytest.param(" ".join(expression.split()), id=found[1])


def variables() -> Iterator[Any]:
    """Every query of a variable."""
    for path in sorted(BOARDS.glob("*.json")):
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"].get("list", ()):
            if variable["type"] == "query":
                yield pytest.param(variable["query"], id=f"{path.stem}-{variable['name']}")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, once every kind of mail was sent for a while; mail goes on."""
    with staged(tmp_path_factory.mktemp("stage")) as stage:
        prometheus = stage.prometheus
        # A site has series of its own once a worker has told of it, and the exporter has heard.
        eventually(lambda: found(prometheus, 'relay_path_breaker{state="dead"} == 1'), "names", 60)
        eventually(lambda: found(prometheus, "relay:failed_recipients:ratio_rate5m"), "rules", 60)
        eventually(lambda: found(prometheus, _MOVED), "its series move", 60)
        tenants = 'relay:tenant_decided:increase1h{tenant!="other"}'
        eventually(lambda: found(prometheus, tenants), "tenants", 60)
        yield prometheus


def found(prometheus: Prometheus, query: str) -> list[Any]:
    """The series that an instant query finds now."""
    result: list[Any] = prometheus.ask("query", query=query)["result"]
    return result


def filled(expression: str) -> str:
    """The expression as Grafana asks it, with all of everything chosen."""
    text = expression.replace("$environment", ENVIRONMENT)
    for name in ("site", "role", "tenant"):
        text = text.replace(f"${name}", ".*")
    text = text.replace("$__rate_interval", f"{_BACK}s")
    assert "$" not in text
    return text


@pytest.mark.parametrize(("panel", "target"), list(targets()))
def test_a_panel_shows_something(
    watched: Prometheus, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    query, now = filled(target["expr"]), time.time()
    if target.get("instant"):
        values = [one["value"][1] for one in found(watched, query)]
    else:
        data = watched.ask("query_range", query=query, start=now - _BACK, end=now, step=1)
        values = [value for one in data["result"] for _, value in one["values"]]
    if panel["title"] not in EMPTY:
        assert any(not math.isnan(float(value)) for value in values), query


@pytest.mark.parametrize("expression", list(alerts()))
def test_an_alert_asks_for_what_is_there(watched: Prometheus, expression: str) -> None:
    watched.ask("query", query=expression)
    for name, selector in _SELECTOR.findall(expression):
        assert name in FOREIGN or found(watched, f"{name}{selector}"), f"{name}{selector}"


@pytest.mark.parametrize("query", list(variables()))
def test_a_variable_has_values(watched: Prometheus, query: str) -> None:
    asked = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert asked is not None
    values = watched.ask(f"label/{asked[2]}/values", **{"match[]": filled(asked[1])})
    assert values


def test_no_alert_fires_for_mail_that_flows(watched: Prometheus) -> None:
    firing = {alert["labels"]["alertname"] for alert in watched.ask("alerts")["alerts"]
              if alert["state"] == "firing"}  # fmt: skip
    assert not firing


def test_an_exemplar_leads_to_a_message(watched: Prometheus) -> None:
    query = "relay_first_attempt_seconds_bucket"
    now = time.time()
    said = watched.ask("query_exemplars", query=query, start=now - 600, end=now)
    ids = [one["labels"]["message"] for series in said for one in series["exemplars"]]
    assert ids
    assert all(re.fullmatch(r"[0-9a-z]{20}", id_) for id_ in ids)


def test_a_query_that_is_wrong_is_told() -> None:
    with Prometheus({}) as alone, pytest.raises(QueryFailed):
        alone.ask("query", query="sum(rate(relay_x[1m])")
