"""A system under mail of every kind, and a Prometheus that watches it: what is to be drawn."""

from __future__ import annotations

import json
import smtplib
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import trustme

from tests.support.dns import Zone
from tests.support.metered import Metered
from tests.support.prometheus import Prometheus
from tests.support.site import Manner, Site
from tests.support.source import post, submit

#: Where the hosts of the largest site listen: it can be taken away alone.
LARGE = "127.0.0.9"
#: Whom tenants write to in each round, over HTTP.
TENANTS = {
    "acme": ("a@large0.test", "b@large1.test"),
    "initech": ("c@large2.test", "a@dead.test"),
}


class Load(threading.Thread):
    """Mail of every kind, again and again, until it is told to end."""

    def __init__(self, port: int, pause: float, api: str, tokens: Mapping[str, str]) -> None:
        """`api`: the HTTP API's URL; `tokens` by tenant."""
        super().__init__(daemon=True)
        self._port = port
        self._api = api
        self._tokens = tokens
        self._pause = pause
        self._end = threading.Event()

    def run(self) -> None:
        """A round: three large sites, one that is full, one that bounces, a dead one, new ones."""
        number = 0
        while not self._end.wait(self._pause):
            number += 1
            posts = [post(f"l{number}.{n}", f"r{n}@large{n % 3}.test") for n in range(8)]
            posts += [
                post(f"b{number}", "gone@large1.test", "full@large2.test"),
                post(f"d{number}", "a@dead.test"),
                post(f"n{number}", f"a@new{number}.test", f"a@nowhere{number}.example"),
            ]
            submit(self._port, *posts)
            with smtplib.SMTP("127.0.0.1", self._port) as confused:
                confused.docmd("FOO")
            for tenant, token in self._tokens.items():
                ids = batch_over_http(self._api, token, f"{tenant}{number}", TENANTS[tenant])
                if number % 20 == 1:
                    ask(self._api, token, "/v1/complaints", {"message": ids[0]})

    def end(self) -> None:
        """Stop, and wait for it."""
        self._end.set()
        self.join(60)


def batch_over_http(api: str, token: str, name: str, recipients: Sequence[str]) -> list[str]:
    """A message to each of these, in one call of the HTTP API; their ids."""
    messages = [
        {"from": "news@origin.test", "to": [one], "subject": name, "text": "hello"}
        for one in recipients
    ]
    answer = ask(api, token, "/v1/messages:batch", {"messages": messages})
    return [one["id"] for one in answer["results"]]


def ask(api: str, token: str, path: str, fields: object) -> Any:
    """What the HTTP API answers."""
    asked = urllib.request.Request(
        api + path,
        data=json.dumps(fields).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Stage:
    """What runs."""

    site: Site
    system: Metered
    prometheus: Prometheus
    #: The HTTP API's URL, and a token by tenant.
    api: str
    tokens: Mapping[str, str]


@contextmanager
def staged(
    directory: Path,
    *,
    pause: float = 0.5,
    interval: str = "1s",
    workers: int = 1,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Stage]:
    """All of it, with a round of mail every `pause` seconds and a scrape every `interval`."""
    with ExitStack() as stack:
        site = stack.enter_context(Site(keep=False))
        site.manners |= {
            "gone@large1.test": Manner(rcpt="550 5.1.1 who?"),
            "full@large2.test": Manner(rcpt="452 4.2.2 full"),
        }
        settings = _certificate(directory) | {"RELAY_RETRY__FIRST": "2s"} | dict(variables)
        system = stack.enter_context(Metered(site, settings, workers=workers))
        system.dns.zones |= {
            "dead.test": Zone(mx=["10 mx.dead.test."]),
            "mx.dead.test": Zone(a=["127.9.9.9"]),
        }
        system.at(LARGE, "large0.test")
        exporter = system.start_exporter()
        system.store.command("CONFIG", "SET", "maxmemory", "1gb")
        api = system.start_http()
        tokens = {
            tenant: system.relay(
                "token", "add", tenant, "--tenant", tenant, "--sender", "origin.test"
            )["secret"]
            for tenant in TENANTS
        }
        targets = {
            "smtp": [system.ports[system.smtp]],
            "worker": [system.ports[one] for one in system.workers],
            "http": [system.ports[system.processes[-1]]],
            "exporter": [system.ports[exporter]],
        }
        prometheus = stack.enter_context(Prometheus(targets, interval))
        load = Load(system.port, pause, api, tokens)
        stack.callback(load.end)
        load.start()
        yield Stage(site, system, prometheus, api, tokens)


def _certificate(directory: Path) -> dict[str, str]:
    """Settings by which clients are offered TLS."""
    issued = trustme.CA().issue_cert("localhost")
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return {"RELAY_SMTP__TLS__CERTIFICATE": str(chain), "RELAY_SMTP__TLS__KEY": str(key)}
