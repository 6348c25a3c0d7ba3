"""A worker's memory: it grows neither with what waits behind slow and dead hosts nor with time."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]
import pytest

from tests.support.site import Manner, Site
from tests.support.source import Source, post, submit
from tests.support.system import System

_DOMAINS = 100
#: Octets of a message; how many come first, and how many then.
_SIZE, _FIRST, _THEN = 16_384, 2_000, 4_000
#: Messages that are delivered before the first look, and before the second.
_WARM, _LONG = 5_000, 20_000
#: MiB that a worker's memory may differ by; what comes then has 62 MiB of content.
_LEVEL_MIB = 10.0
#: The same for what is delivered between two looks: less than 160 octets of each message.
_GROWN_MIB = 3.0


@pytest.mark.timeout(240)
def test_a_workers_memory_levels_off_while_thousands_wait_behind_slow_and_dead_hosts() -> None:
    """Hosts that keep a worker waiting before the content and after it, and hosts that are away."""
    with Site(keep=False) as site, System(site) as system:
        for n in range(_DOMAINS):
            slow = Manner(data_delay=300.0) if n % 2 else Manner(delay=300.0)
            site.manners[f"tar{n}.test"] = slow
            system.place("127.0.9.9", f"dead{n}.test")
        worker = psutil.Process(system.workers[0].process.pid)

        def mib_with(first: int, end: int) -> float:
            """What it has once so many wait, and it takes no more of them."""
            posts = [
                post(f"b{n}", f"r{n}@{('tar', 'dead')[n % 2]}{n // 2 % _DOMAINS}.test", size=_SIZE)
                for n in range(first, end)
            ]
            with Source(system.port, posts) as source:
                source.wait(90)
            until_it_takes_no_more(system)
            return float(worker.memory_info().rss) / 2**20

        idle = float(worker.memory_info().rss) / 2**20
        few, many = mib_with(0, _FIRST), mib_with(_FIRST, _FIRST + _THEN)
        print(f"MiB: idle {idle:.0f}, {_FIRST} wait {few:.0f}, {_FIRST + _THEN} wait {many:.0f}")
        assert many - few < _LEVEL_MIB
        assert 0 < system.left()["leased"] <= 1_000
        # Nobody else waits behind them.
        submit(system.port, post("well", "r@well.test"))
        system.until(lambda: site.ids()["well"], "a healthy host gets its message")
        assert system.left()["deliveries"] > _THEN


@pytest.mark.timeout(240)
def test_memory_does_not_grow_with_the_messages_that_were_delivered() -> None:
    with Site(keep=False) as site, System(site) as system:
        processes = [psutil.Process(one.process.pid) for one in (system.workers[0], system.smtp)]

        def mib_after(first: int, end: int) -> list[float]:
            """What worker and reception have once so many are delivered."""
            posts = [post(f"m{n}", f"r{n}@d{n % 200}.test") for n in range(first, end)]
            with Source(system.port, posts, connections=32) as source:
                source.wait(90)
            system.until(lambda: len(site.taken) == end, lambda: len(site.taken), 60)
            return [one.memory_info().rss / 2**20 for one in processes]

        before, after = mib_after(0, _WARM), mib_after(_WARM, _WARM + _LONG)
        print(f"MiB of worker, reception: after {_WARM} {before}, after {_WARM + _LONG} {after}")
        assert all(late - early < _GROWN_MIB for early, late in zip(before, after, strict=True))


def until_it_takes_no_more(system: System) -> None:
    """Wait until the same number has been leased for many looks."""
    counts: list[int] = []

    def steady() -> bool:
        counts.append(system.left().get("leased", 0))
        return len(counts) > 50 and len(set(counts[-50:])) == 1

    system.until(steady, lambda: counts[-5:], 60)
