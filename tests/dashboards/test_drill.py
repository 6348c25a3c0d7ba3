"""The operator's drill: docs/operations/drill.md, gone through word by word on a running system.

Three faults are set up. Whoever follows the page has nothing but the dashboards' queries and the
command line, and must find all three.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from relay.store.codec import Flag, Place, Stored, decode_stored
from tests.dashboards.stage import LARGE, batch_over_http
from tests.support.metered import Metered
from tests.support.ports import free_port
from tests.support.prometheus import ENVIRONMENT, Prometheus
from tests.support.relay import ROOT
from tests.support.site import Manner, Site
from tests.support.source import eventually, post, submit

PAGE = (ROOT / "docs" / "operations" / "drill.md").read_text("utf-8")
#: Workers that may die of the poisoned message.
_LIVES = 10
_VARIABLES = {
    "RELAY_LEASE__SECONDS": "2s",
    "RELAY_LEASE__DEADLINE": "1s",
    "RELAY_RETRY__FIRST": "2s",
    # The host whose attempts hang must not be dead before the message is known as what it is.
    "RELAY_DELIVERY__TIMEOUTS__DATA": "120s",
}
_STEP = re.compile(
    r"\*\*(?P<board>[^*]+)\*\*, panel \*\*(?P<panel>[^*]+)\*\*|^ +(?P<said>relay .+)$", re.MULTILINE
)
_ID = re.compile(r"\b[0-9a-z]{20}\b")


class Planned(Metered):
    """Its workers show their metrics where Prometheus looks for them from the beginning."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, _VARIABLES)
        self.planned = [free_port() for _ in range(_LIVES)]

    def next_port(self, name: str) -> int:
        return self.planned[len(self.workers)] if name == "worker" else super().next_port(name)


class Load(threading.Thread):
    """Mail to hosts that are well, to the tarpit, and of two tenants, until it is told to end."""

    def __init__(self, system: Planned, api: str, tokens: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._system, self._api, self._tokens = system, api, tokens
        self._end = threading.Event()

    def run(self) -> None:
        """A round each third of a second."""
        number = 0
        while not self._end.wait(0.3):
            number += 1
            posts = [post(f"w{number}.{n}", f"r{n}@well{n}.test") for n in range(3)]
            posts += [post(f"t{number}.{n}", f"r{n}@tarpit{n % 2}.test") for n in range(10)]
            submit(self._system.port, *posts)
            for tenant, token in self._tokens.items():
                batch_over_http(self._api, token, f"{tenant}{number}", ("a@well0.test",))

    def end(self) -> None:
        """Stop, and wait for it."""
        self._end.set()
        self.join(60)


@dataclass
class Drill:
    """A system with three faults, and what has been found so far."""

    site: Site
    system: Planned
    prometheus: Prometheus
    poison: str
    found: dict[str, str] = field(default_factory=dict)
    #: What the commands of a section printed.
    said: str = ""

    def follow(self, heading: str) -> str:
        """Go through a section of the page; what the commands printed."""
        self.said = ""
        for step in _STEP.finditer(section(heading)):
            if step["said"]:
                self.run(step["said"])
            else:
                self.look(step["board"], step["panel"])
        return self.said

    def look(self, board: str, panel: str) -> list[dict[str, Any]]:
        """What a panel shows; the name of what stands highest in it is what is looked for."""
        result: list[dict[str, Any]] = []
        for target in panel_of(board, panel)["targets"]:
            result += self.prometheus.ask("query", query=asked(target["expr"]))["result"]
        assert result, f"{board}, {panel}: nothing is shown"
        highest = max(result, key=lambda one: _value(one))
        for label in ("site", "tenant"):
            if label in highest["metric"]:
                self.found.setdefault(label.upper(), highest["metric"][label])
        return result

    def run(self, line: str) -> None:
        """A command, its words in capitals replaced by what was found."""
        words = [self._meant(word) for word in _words(line)]
        done = self.system.run(*words[1:])
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        self.said += done.stdout
        if words[1] == "tail":
            self.found["ID"] = _ID.findall(done.stdout)[-1]
        if words[1] == "queue":
            domains = re.findall(r"\S+\.test\b", done.stdout)
            self.found["DOMAIN"] = domains[0]

    def _meant(self, word: str) -> str:
        for name in ("SITE", "TENANT", "DOMAIN", "ID"):
            if re.search(rf"\b{name}\b", word):
                return word.replace(name, self.found[name])
        return word


def _words(line: str) -> list[str]:
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]


def _value(one: dict[str, Any]) -> float:
    value = float(one["value"][1])
    return -1.0 if math.isnan(value) else value


def section(heading: str) -> str:
    """The text under a heading of the page."""
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def panel_of(board: str, title: str) -> dict[str, Any]:
    """A panel of the dashboards that Grafana is given."""
    for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"):
        text = json.loads(path.read_text("utf-8"))
        if text["title"] == f"Relay / {board}":
            [found] = [panel for panel in text["panels"] if panel.get("title") == title]
            return dict(found)
    raise AssertionError(f"there is no dashboard {board}")


def asked(expression: str) -> str:
    """As Grafana asks it, of everything, over five minutes."""
    text = expression.replace("$environment", ENVIRONMENT).replace("$__rate_interval", "5m")
    return re.sub(r"\$(site|tenant|role)", ".*", text)


def poisoned(site: Site, system: Planned) -> str:
    """A message under which workers die until it is set aside; its id."""
    site.manners["poison.test"] = Manner(data_delay=100.0)
    message = submit(system.port, post("bad", "a@poison.test", sender="bad@origin.test"))["bad"]
    keys = system.partitions[0]

    def stored() -> Stored:
        return decode_stored(system.store.command("HGET", keys.deliveries, f"{message}.0"))

    def is_begun(fence: int) -> bool:
        """Somebody has it in hand, for the first time or alone with it; or nobody any more."""
        now = stored()
        alone = Flag.ALONE not in now.flags or Flag.BEGUN in now.flags
        return now.place is Place.HELD or (
            now.place is Place.LEASED and now.fence > fence and alone
        )

    fence = 0
    for _ in range(_LIVES - 1):
        eventually(partial(is_begun, fence), "it is begun or held", 60)
        if stored().place is Place.HELD:
            break
        fence = stored().fence
        system.workers[-1].kill()
        system.start_worker()
    assert stored().place is Place.HELD
    del site.manners["poison.test"]
    return message


@contextmanager
def set_up() -> Iterator[Drill]:
    """All three faults, some time after they began."""
    with ExitStack() as stack:
        site = stack.enter_context(Site(keep=True))
        system = stack.enter_context(Planned(site))
        exporter = system.start_exporter()
        targets = {
            "smtp": [system.ports[system.smtp]],
            "worker": system.planned,
            "exporter": [system.ports[exporter]],
        }
        prometheus = stack.enter_context(Prometheus(targets))
        message = poisoned(site, system)
        api = system.start_http()
        tokens = {
            tenant: system.relay(
                "token", "add", tenant, "--tenant", tenant, "--sender", "origin.test"
            )["secret"]
            for tenant in ("acme", "initech")
        }
        system.at(LARGE, "tarpit0.test", "tarpit1.test")
        site.manners[LARGE] = Manner(delay=6.0)
        load = Load(system, api, tokens)
        stack.callback(load.end)
        load.start()
        system.relay("hold", "--tenant", "initech")
        drill = Drill(site, system, prometheus, message)
        eventually(lambda: shown(drill), "the dashboards know the tarpit, and the tenant", 100)
        yield drill
        load.end()


def shown(drill: Drill) -> bool:
    """Prometheus has enough to show: sites have names, and what is held has grown."""
    ask = drill.prometheus.ask
    slow = 'rate(relay_path_attempt_seconds_count{site="mx.tarpit0.test"}[1m]) > 0'
    full = 'relay_lane_stored_bytes{tenant="initech"} > 30000'
    return all(ask("query", query=query)["result"] for query in (slow, full))


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    with set_up() as made:
        yield made


def test_the_tarpitted_site_is_found(drill: Drill) -> None:
    said = flat(drill.follow("The tarpitted site"))
    assert drill.found["SITE"] == "mx.tarpit0.test"
    assert drill.found["DOMAIN"] in ("tarpit0.test", "tarpit1.test")
    used = re.search(r"(\d+) of (\d+) connections in use", said)
    assert used is not None
    assert int(used[1]) > 0
    counted = re.search(r"hold: (\d+) deliver", said)
    assert counted is not None
    assert int(counted[1]) > 10
    assert "Nothing was changed" in said


def test_the_held_tenant_is_found_and_let_go(drill: Drill) -> None:
    said = flat(drill.follow("The held tenant"))
    assert drill.found["TENANT"] == "initech"
    assert "the tenant initech is held as a whole since" in said
    assert re.search(r"hold .*--tenant initech", said)
    drill.system.until(
        lambda: any(b"\r\nSubject: initech" in one.content for one in drill.site.taken),
        "mail of the tenant arrives",
    )


def test_the_poisoned_message_is_found_and_ended(drill: Drill) -> None:
    held = drill.look("Overview", "Held")
    assert _value(held[0]) == 1
    reasons = {
        one["metric"]["reason"]: _value(one) for one in drill.look("Queue", "Set aside by Relay")
    }
    assert reasons["poison"] > 0
    assert reasons["content"] == 0
    said = flat(drill.follow("The poisoned message"))
    assert drill.found["ID"] == drill.poison
    assert re.search(r"\d+ workers ended while they had it", said)
    assert "bounce: 1 delivery: 1 bounced" in said
    drill.system.until(lambda: drill.site.for_recipient("bad@origin.test"), "its sender is told")
    [report] = drill.site.for_recipient("bad@origin.test")
    assert b"550 5.7.1 This message cannot be processed" in report.content


def flat(text: str) -> str:
    """What was printed, however its lines were broken."""
    return " ".join(text.split())
