"""`relay doctor` from outside: what it prints, and its exit code."""

from __future__ import annotations

import json
from typing import Any

from tests.support.dns import DnsServer, Zone
from tests.support.ports import free_port
from tests.support.relay import relay

ZONES = {"out.example": Zone(a=["8.0.0.1"]), "1.0.0.8.in-addr.arpa": Zone(ptr=["out.example."])}


def test_it_exits_with_one_where_something_does_not_work_and_says_what_to_do(
    store_url: str,
) -> None:
    with DnsServer(dict(ZONES)) as dns:
        variables: dict[str, Any] = {
            "RELAY_STORE__URL": store_url,
            "RELAY_BROKER__URL": store_url,
            "RELAY_DELIVERY__EHLO_NAME": "out.example",
            "RELAY_DELIVERY__NAMESERVERS": json.dumps([dns.endpoint]),
        }
        good = relay("doctor", "--json", **variables)
        assert (good.returncode, good.stderr) == (0, "")
        assert json.loads(good.stdout)["errors"] == 0
        variables["RELAY_BROKER__URL"] = f"redis://127.0.0.1:{free_port()}/0"
        bad = relay("doctor", "--domain", "none.example", **variables)
    assert bad.returncode == 1
    lines = bad.stdout.splitlines()
    assert any(line.startswith("error   broker      it gives no good answer") for line in lines)
    assert any("or set broker.url" in line for line in lines)
    assert any(line.startswith("error   spf         none.example has no SPF") for line in lines)
    assert lines[-1].startswith("2 errors, ")


def test_settings_that_are_wrong_are_told_one_by_one() -> None:
    done = relay("doctor", "--json", RELAY_RETRY__FIRST="never", RELAY_LEASE__SECONDS="99")
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    assert [(one["area"], one["level"]) for one in checks] == [("settings", "error")] * 2


def test_a_host_or_domain_that_is_none_is_wrong_usage() -> None:
    done = relay("doctor", "--connect", "a b")
    assert (done.returncode, done.stderr) == (2, "relay: --connect: 'a b' is no host:port\n")
