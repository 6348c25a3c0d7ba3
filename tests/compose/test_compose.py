"""docker-compose.yml does what it says: it comes up, takes mail, scales, heals and goes."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterable
from typing import Any

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import Stack

pytestmark = pytest.mark.timeout(600)


def _send(engine: Engine, names: Iterable[str]) -> None:
    """A message for each name, over the published port, as any client would."""
    script = """
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 2525, timeout=30) as relay:
    for name in sys.argv[1:]:
        domain = f"d{sum(name.encode()) % 7}.test"
        text = f"Subject: {name}\\r\\n\\r\\nHello {name}.\\r\\n"
        relay.sendmail("ann@example.com", [f"{name}@{domain}"], text)
"""
    engine.inside("python3", "-c", script, *names)


def _arrived(stack: Stack) -> list[str]:
    """The subjects that the sink got, each as often as it came."""
    said = stack.compose("exec", "-T", "sink", "sh", "-c", "cat /tmp/taken || true")
    return sorted(re.findall(r"^Subject: (\S+)", said, re.MULTILINE))


def _targets(stack: Stack) -> list[dict[str, Any]]:
    answer = json.loads(stack.get("http://127.0.0.1:9090/api/v1/targets?state=active"))
    found: list[dict[str, Any]] = answer["data"]["activeTargets"]
    return found


def _up(stack: Stack, role: str) -> int:
    """Endpoints of a role that Prometheus found and read."""
    return sum(
        one["labels"].get("role") == role and one["health"] == "up" for one in _targets(stack)
    )


def test_every_service_is_up_and_well(stack: Stack) -> None:
    services = set(stack.compose("config", "--services").split()) - {"grafana"}
    for service in services:
        [container] = stack.containers(service)
        state = container["State"]
        assert state["Status"] == "running", service
        assert state.get("Health", {}).get("Status", "healthy") == "healthy", service
        if service != "sink":
            assert "Health" in state, f"{service} has no health check"


def test_roles_run_without_rights_on_a_root_that_cannot_be_written(stack: Stack) -> None:
    for service in ("smtp", "http", "worker", "exporter"):
        [container] = stack.containers(service)
        assert container["HostConfig"]["ReadonlyRootfs"], service
        assert container["HostConfig"]["CapDrop"] == ["ALL"], service
        assert stack.compose("exec", "-T", service, "id", "-u").strip() == "10001"


def test_mail_that_is_submitted_is_delivered(engine: Engine, stack: Stack) -> None:
    names = [f"first-{number}" for number in range(20)]
    _send(engine, names)
    stack.until(lambda: set(names) <= set(_arrived(stack)), "the messages did not arrive")


def test_mail_by_token_over_http_is_delivered(engine: Engine, stack: Stack) -> None:
    added = stack.compose(
        "exec", "-T", "http", "relay", "token", "add", "app", "--sender", "example.com", "--json"
    )
    message = {"from": "ann@example.com", "to": ["bob@d1.test"], "subject": "by-http", "text": "x"}
    engine.inside(
        "curl", "--silent", "--show-error", "--fail", "http://127.0.0.1:8025/v1/messages",
        "--header", f"Authorization: Bearer {json.loads(added)['secret']}",
        "--json", json.dumps(message),
    )  # fmt: skip
    stack.until(lambda: "by-http" in _arrived(stack), "the message did not arrive")


def test_prometheus_reads_every_role(stack: Stack) -> None:
    for role in ("smtp", "http", "worker", "exporter"):
        stack.until(lambda role=role: _up(stack, role) == 1, f"Prometheus does not read {role}")  # type: ignore[misc]
    assert "relay_queue_deliveries" in stack.get("http://127.0.0.1:9925/metrics")


def test_workers_scale_and_one_that_is_killed_comes_back_and_loses_nothing(
    engine: Engine, stack: Stack
) -> None:
    stack.up("--scale", "worker=4", "--no-recreate")
    stack.until(lambda: _up(stack, "worker") == 4, "Prometheus does not read four workers")
    names = [f"second-{number}" for number in range(300)]
    _send(engine, names[:150])
    victim = stack.containers("worker")[0]
    os.kill(victim["State"]["Pid"], signal.SIGKILL)
    _send(engine, names[150:])
    stack.until(lambda: set(names) <= set(_arrived(stack)), "a message was lost", patience=120)

    def back() -> bool:
        [same] = [one for one in stack.containers("worker") if one["Id"] == victim["Id"]]
        return (same["RestartCount"], same["State"]["Health"]["Status"]) == (1, "healthy")

    stack.until(back, "the killed worker did not come back", patience=90)


def test_a_store_that_restarts_keeps_what_it_has(engine: Engine, stack: Stack) -> None:
    stack.compose("stop", "worker")
    _send(engine, ["kept"])
    stack.compose("restart", "store")
    stack.up("--scale", "worker=1")
    stack.until(lambda: "kept" in _arrived(stack), "what was queued is gone")


def test_operators_commands_work_in_a_container(stack: Stack) -> None:
    assert json.loads(stack.compose("exec", "-T", "worker", "relay", "queue", "--json")) is not None
