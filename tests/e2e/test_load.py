"""Ten thousand messages, with and without misfortunes: none lost, none doubled beyond the count."""

from __future__ import annotations

from collections.abc import Iterator

from tests.support.site import Site
from tests.support.source import Post, Source, post
from tests.support.system import System

MESSAGES = 10_000
DOMAINS = 1_000
SIZE = 4096


def posts(count: int, domains: int, size: int = SIZE) -> Iterator[Post]:
    """Messages to one recipient each, whose domains take turns."""
    return (post(f"m{n}", f"r{n}@d{n % domains}.test", size=size) for n in range(count))


def test_ten_thousand_messages_to_a_thousand_domains_arrive_once_each() -> None:
    with Site(keep=False) as site, System(site) as system:
        with Source(system.port, posts(MESSAGES, DOMAINS), connections=16) as source:
            source.wait(60)
        system.until(lambda: len(site.taken) >= MESSAGES, lambda: len(site.taken), 60)
        system.until_empty()

        assert site.ids() == dict.fromkeys((f"m{n}" for n in range(MESSAGES)), 1)
        assert len(source.accepted) == MESSAGES
        assert not source.unsure
        assert all(one.octets > SIZE - 200 for one in site.taken)
        records = system.keys("m:*")
        assert len(records) == MESSAGES
        assert all(int(system.store.command("PTTL", record)) > 0 for record in records[:100])
        assert system.reclaimed() == 0
