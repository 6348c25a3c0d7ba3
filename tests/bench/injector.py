"""The injector: sends a load to the system under test, and tells what was accepted and when."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import msgspec
from msgspec import Struct

from tests.bench import tools
from tests.bench.figures import Load


class Injected(Struct, frozen=True):
    """What the injector saw; times are of CLOCK_MONOTONIC."""

    began_ns: int
    accepted: int
    failed: int
    retries: int
    seconds: float
    ack_p50_ms: float
    ack_p99_ms: float
    #: CPU seconds that the injector itself took.
    cpu_s: float
    #: Octets of each message's body, 0 where they are not known.
    body: int
    #: The last refusal's text.
    refusal: str = ""

    @property
    def rate(self) -> float:
        """Messages accepted a second."""
        return self.accepted / self.seconds if self.seconds else 0.0


def inject(load: Load, place: tuple[str, int], *, limit: float, first: int = 0) -> Injected:
    """Send the load to host and port `place`, for at most `limit` seconds.

    `first`: the number of the first message. Raises CalledProcessError where it cannot even begin.
    """
    program = tools.program("inject")
    if program is None:
        return _inject_plainly(load, place)
    host, port = place
    argv: list[Any] = [program, "-h", host, "-p", port, "-m", load.messages, "-s", load.sessions]
    argv += ["-l", load.octets, "-d", load.domains, "-S", load.tarpits, "-f", first]
    argv += ["-r", load.recipients, "-R", load.rate, "-T", limit]
    argv += ["-P"] if load.pipelined else []
    ran = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, check=False)
    if not ran.stdout:
        raise subprocess.CalledProcessError(ran.returncode, str(program))
    return msgspec.json.decode(ran.stdout, type=Injected)


def _inject_plainly(load: Load, place: tuple[str, int]) -> Injected:
    """By Postfix's smtp-source: one domain, no ids, no latencies."""
    if load.domains > 1 or load.recipients > 1 or load.rate:
        raise RuntimeError("this case needs a C compiler: smtp-source cannot send its load")
    host, port = place
    argv = ["smtp-source", "-d", "-s", str(load.sessions), "-m", str(load.messages)]
    argv += ["-l", str(load.octets), "-f", "sender@bench.test", "-t", "r0-0@d0.test"]
    began = time.monotonic_ns()
    code = subprocess.run([*argv, f"inet:{host}:{port}"], check=False).returncode
    seconds = (time.monotonic_ns() - began) / 1e9
    accepted = load.messages if code == 0 else 0
    return Injected(began, accepted, load.messages - accepted, 0, seconds, 0, 0, 0, 0)
