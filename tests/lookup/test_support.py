"""The DNS server of the tests, as a process of its own."""

from __future__ import annotations

import asyncio
import sys

from relay.lookup.answers import Addresses, Hosts
from tests.lookup.conftest import MakeResolver


async def test_as_a_process_it_gives_every_domain_a_host_at_the_sink(
    resolver_of: MakeResolver,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.dns", "--sink-ip", "127.0.0.9"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        word, endpoint = (await process.stdout.readline()).decode().split()
        assert word == "ready"
        resolver = resolver_of(endpoint)
        found = await resolver.mail_hosts("any.example.com")
        assert isinstance(found, Hosts)
        assert found.mx == ((10, "mx.any.example.com"),)
        addresses = await resolver.addresses(found.mx[0][1])
        assert isinstance(addresses, Addresses)
        assert addresses.addresses == ("127.0.0.9",)
    finally:
        process.terminate()
        await process.wait()
