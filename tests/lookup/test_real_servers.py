"""Servers that others wrote: knot, authoritative, and dnsmasq, which forwards and caches."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.lookup.answers import Addresses, Hosts, LookupFailed, NoAddress, NoSuchDomain, NullMx
from tests.lookup.conftest import MakeResolver, Serve
from tests.support.dns import Zone
from tests.support.ports import free_port

KNOT = """
server:
    listen: 127.0.0.1@{port}
    rundir: {folder}
database:
    storage: {folder}
template:
  - id: default
    storage: {folder}
zone:
  - domain: real.test
    file: real.test.zone
"""

ZONE = """
$ORIGIN real.test.
@ 3600 SOA ns hostmaster 1 3600 600 86400 77
@ NS ns
@ 120 MX 20 mx2
@ 120 MX 10 mx1
ns A 127.0.0.1
mx1 200 A 192.0.2.1
mx1 200 AAAA 2001:db8::1
mx2 A 192.0.2.2
null MX 0 .
plain A 192.0.2.3
text TXT "no mail here"
alias CNAME @
outside CNAME mx.other.test.
*.wild MX 10 mx1
{many}
"""


def binary(name: str) -> str:
    """The program's path; a laptop may do without it, CI may not."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        assert "CI" not in os.environ, f"{name} is missing"
        pytest.skip(f"{name} is not installed")
    return found


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the server takes connections (it opens TCP and UDP together)."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not listen")


@pytest.fixture(scope="module")
def knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, folder, port = binary("knotd"), tmp_path_factory.mktemp("knot"), free_port()
    many = "\n".join(f"many MX {i} a-rather-long-name-of-host-{i}" for i in range(60))
    (folder / "real.test.zone").write_text(ZONE.format(many=many))
    (folder / "knot.conf").write_text(KNOT.format(port=port, folder=folder))
    with running([program, "-c", str(folder / "knot.conf")], port, folder):
        yield f"127.0.0.1:{port}"


class running:  # noqa: N801
    """A server process for the time of a `with`."""

    def __init__(self, command: list[str], port: int, folder: Path) -> None:
        self._command, self._port, self._folder = command, port, folder

    def __enter__(self) -> None:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            wait_for(self._port, self._process)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)


async def test_knot_gives_hosts_and_lives(knot: str, resolver_of: MakeResolver) -> None:
    resolver = resolver_of(knot, clock=lambda: 0.0)
    assert await resolver.mail_hosts("real.test") == Hosts(
        ((10, "mx1.real.test"), (20, "mx2.real.test")), implicit=False, expires=120.0
    )
    found = await resolver.addresses("mx1.real.test")
    assert found == Addresses(("192.0.2.1", "2001:db8::1"), 200.0)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("null.real.test", NullMx(3600.0)),
        ("nowhere.real.test", NoSuchDomain(77.0)),
        ("text.real.test", NoAddress(77.0)),
        ("plain.real.test", Hosts(((0, "plain.real.test"),), implicit=True, expires=77.0)),
        ("any.wild.real.test", Hosts(((10, "mx1.real.test"),), implicit=False, expires=3600.0)),
    ],
)
async def test_knot_says_what_there_is_and_what_not(
    knot: str, resolver_of: MakeResolver, domain: str, expected: object
) -> None:
    assert await resolver_of(knot, clock=lambda: 0.0).mail_hosts(domain) == expected


async def test_knot_follows_an_alias(knot: str, resolver_of: MakeResolver) -> None:
    found = await resolver_of(knot).mail_hosts("alias.real.test")
    assert isinstance(found, Hosts)
    assert found.mx[0] == (10, "mx1.real.test")


async def test_knot_cuts_off_and_tcp_brings_the_rest(knot: str, resolver_of: MakeResolver) -> None:
    found = await resolver_of(knot, most_hosts=100).mail_hosts("many.real.test")
    assert isinstance(found, Hosts)
    assert len(found.mx) == 60


@pytest.mark.parametrize("domain", ["outside.real.test", "example.com"])
async def test_a_server_that_does_not_look_up_for_us_bounces_nothing(
    knot: str, resolver_of: MakeResolver, domain: str
) -> None:
    assert isinstance(await resolver_of(knot).mail_hosts(domain), LookupFailed)


async def test_dnsmasq_hands_on_what_another_server_says(
    serve: Serve, resolver_of: MakeResolver, tmp_path: Path
) -> None:
    upstream = serve(
        {
            "example.test": Zone(mx=["10 mx.example.test."], ttl=60),
            "mx.example.test": Zone(a=["192.0.2.1"]),
            "alias.test": Zone(cname="mx.example.test."),
            "null.test": Zone(mx=["0 ."]),
            "broken.test": Zone(rcode="SERVFAIL"),
        }
    )
    port = free_port()
    command = [
        binary("dnsmasq"),
        *("--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"),
        *("--bind-interfaces", "--listen-address=127.0.0.1", f"--port={port}", "--user="),
        f"--server={upstream.host}#{upstream.port}",
        f"--pid-file={tmp_path / 'pid'}",
    ]
    with running(command, port, tmp_path):
        # Twice, for what comes from its cache may look otherwise.
        for _ in range(2):
            resolver = resolver_of(f"127.0.0.1:{port}")
            expected = {
                "example.test": Hosts,
                "mx.example.test": Hosts,
                "alias.test": Hosts,
                "null.test": NullMx,
                "broken.test": LookupFailed,
                "nowhere.test": NoSuchDomain,
            }
            found = {name: type(await resolver.mail_hosts(name)) for name in expected}
            assert found == expected
