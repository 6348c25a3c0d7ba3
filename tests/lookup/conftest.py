from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from relay.lookup.resolver import Resolver, ResolverOptions
from tests.support.dns import DnsServer, Zone

MakeResolver = Callable[..., Resolver]
Serve = Callable[[dict[str, Zone]], DnsServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts DNS servers that live as long as the test."""
    servers: list[DnsServer] = []

    def start(zones: dict[str, Zone]) -> DnsServer:
        servers.append(DnsServer(zones).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
async def resolver_of() -> AsyncIterator[MakeResolver]:
    """Makes resolvers that ask the given servers, with options and a clock where wanted."""
    made: list[Resolver] = []

    def make(
        *servers: DnsServer | str, clock: Callable[[], float] | None = None, **options: object
    ) -> Resolver:
        names = tuple(each if isinstance(each, str) else each.endpoint for each in servers)
        settings = ResolverOptions(nameservers=names, **options)  # type: ignore[arg-type]
        resolver = Resolver(settings, clock=clock) if clock else Resolver(settings)
        made.append(resolver)
        return resolver

    yield make
    for resolver in made:
        await resolver.close()
