"""What Celery's task and sendmail hand over: `python -m tests.bench.otherways [tasks] [programs]`.

One worker takes `relay.submit`, while all that it accepts is for a day later, so that nothing else
is done; and `relay sendmail` is started again and again, one after the other, for `relay smtp`.
"""

from __future__ import annotations

import subprocess
import sys
import time

from relay.store.keys import partition_keys
from tests.support.relay import command
from tests.support.system import System
from tests.support.worker import client

_CONTENT = "From: ann@origin.test\nSubject: x\n\n" + ("x" * 78 + "\n") * 50
_PATIENCE = 120.0


def tasks(system: System, count: int) -> float:
    """Messages accepted a second, while tasks for all of them wait."""
    later = round(time.time() + 86_400) * 1000
    fields = {"sender": "ann@origin.test", "content": _CONTENT, "send_at_ms": later}
    with client(system.broker.tcp_url) as producer:
        for number in range(count):
            named = fields | {"recipients": [f"u{number}@a{number % 100}.test"]}
            producer.send("relay.submit", kwargs=named)
    began, before = time.monotonic(), accepted(system)
    while accepted(system) < count:
        if time.monotonic() - began > _PATIENCE:
            raise TimeoutError(f"{accepted(system)} of {count} tasks are done")
        time.sleep(0.02)
    return (count - before) / (time.monotonic() - began)


def accepted(system: System) -> int:
    """Messages that wait for their time."""
    return int(system.store.command("ZCARD", partition_keys(0, 1).later))


def programs(system: System, count: int) -> float:
    """Seconds that one takes."""
    began = time.monotonic()
    for _ in range(count):
        subprocess.run(
            command("sendmail", "-f", "ann@origin.test", "bob@held.test"),
            input=_CONTENT.encode(),
            env=system.environment,
            cwd=system.directory,
            check=True,
        )
    return (time.monotonic() - began) / count


def main() -> None:
    """Measure both, and print it."""
    given = [int(word) for word in sys.argv[1:]] or [20_000, 40]
    with System(None) as system:
        print(f"relay.submit: {tasks(system, given[0]):.0f} messages/s")
        print(f"relay sendmail: {programs(system, given[1]) * 1e3:.0f} ms a message")


if __name__ == "__main__":
    main()
