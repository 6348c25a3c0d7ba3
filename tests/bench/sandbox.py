"""The sandbox: private mount, network and PID namespaces, with a DNS server that knows the domains.

Within it ports 25 and 53 are free, nothing can leave the machine, and every process dies with the
harness. It takes root; without it there are no namespaces, ports are high, and Postfix cannot run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from tests.bench import meter

#: Told to the process inside, so that it does not make another sandbox.
_INSIDE = "RELAY_BENCH_INSIDE"
#: Domains that the DNS knows: d0.test, d1.test ..., and s0.test ... that tarpit.
MOST_DOMAINS, MOST_TARPITS = 1000, 200
_RESOLV = "nameserver {address}\noptions timeout:2 attempts:2\n"


class Sandbox(Struct, frozen=True):
    """Addresses and ports within the sandbox."""

    #: Namespaces are private, and ports those of real mail.
    private: bool
    #: Where healthy domains and tarpits have their host: one address each, names of their own.
    healthy: str = "127.0.0.10"
    slow: str = "127.0.0.11"
    #: Where nobody listens: the address of all further domains.
    nobody: str = "127.0.0.12"
    smtp_port: int = 25
    dns_port: int = 53
    #: Where the system under test takes messages.
    submission: tuple[str, int] = ("127.0.0.1", 2525)


def inside() -> bool:
    """Whether this process is in the sandbox, where nothing can be fetched."""
    return bool(os.environ.get(_INSIDE))


def enter() -> Sandbox:
    """Run this command again in namespaces of its own, where that is possible; the sandbox."""
    if inside():
        _set_up()
        return Sandbox(private=True)
    if os.geteuid() == 0 and _can_unshare():
        os.environ[_INSIDE] = "1"
        meter.keep_outer_proc()
        own = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        again = [sys.executable, "-m", "tests.bench", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", *own, *again])
    return Sandbox(private=False, smtp_port=10025, dns_port=10053)


def _can_unshare() -> bool:
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _set_up() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start_dns(sandbox: Sandbox, place: Path) -> subprocess.Popen[bytes]:
    """A dnsmasq with an MX and an address for every domain: each domain has a host of its own."""
    lines = [
        "no-resolv\nno-hosts\nuser=root\nlisten-address=127.0.0.1\nbind-interfaces",
        f"port={sandbox.dns_port}\nlocal=/test/\nlocal-ttl=300\nmax-cache-ttl=300",
        # Further domains have no MX, and an address at which nobody listens.
        f"address=/test/{sandbox.nobody}",
    ]
    for number in range(MOST_DOMAINS):
        lines.append(f"mx-host=d{number}.test,mx.d{number}.test,10")
        lines.append(f"address=/mx.d{number}.test/{sandbox.healthy}")
    for number in range(MOST_TARPITS):
        lines.append(f"mx-host=s{number}.test,mx.s{number}.test,10")
        lines.append(f"address=/mx.s{number}.test/{sandbox.slow}")
    config = place / "dnsmasq.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if sandbox.private:
        resolv = place / "resolv.conf"
        resolv.write_text(_RESOLV.format(address="127.0.0.1"), encoding="utf-8")
        subprocess.run(["mount", "--bind", str(resolv), "/etc/resolv.conf"], check=True)
    return subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=" + str(config)])
