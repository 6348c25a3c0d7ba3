"""`relay tail`: events of a real store, in the process and from outside."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.cli.tail import events_of, line, wanted
from relay.console.events import Events
from relay.store.address import Address
from relay.store.client import StoreClient
from tests.support.queue import New, QueueStore, attempt
from tests.support.relay import command, environment, relay


@pytest.fixture
async def queue(store_url: str) -> AsyncIterator[QueueStore]:
    client = StoreClient(Address.parse(store_url))
    await client.start()
    yield QueueStore(client)
    await client.close()


@pytest.fixture
def obeyed() -> Iterator[None]:
    """Programs obey Ctrl-C: those that a shell runs in the background ignore it, and so do all that
    they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def delivered(queue: QueueStore, domain: str) -> str:
    recipient = f"u@{domain}"
    message = await queue.admitted(New(queue=domain, recipients=(recipient,)))
    [lease] = await queue.lease(domain)
    await queue.settle(lease, verb="final", event="d", outcome=attempt(recipient=recipient))
    return message


async def test_events_come_in_order_and_go_on_from_any_of_them(queue: QueueStore) -> None:
    one, two = await delivered(queue, "a.example"), await delivered(queue, "b.example")
    events = Events(queue.client, 1)
    found = [each async for each in events_of(events, "0-0", tenant=None, follow=False)]
    assert [(each.type, each.message) for each in found] == [
        ("accepted", one),
        ("delivered", one),
        ("accepted", two),
        ("delivered", two),
    ]
    behind = [each async for each in events_of(events, found[1].id, tenant=None, follow=False)]
    assert behind == found[2:]
    assert [each.message for each in found if wanted(each, ["delivered"], ["b.example"])] == [two]
    assert line(found[1]).plain.endswith(
        f"delivered  {one} at mx.a.example u@a.example: 250 2.0.0 so"
    )


async def test_what_happens_while_it_follows_is_told(queue: QueueStore) -> None:
    events = Events(queue.client, 1)
    await delivered(queue, "before.example")
    following = events_of(events, await events.now(), tenant=None, follow=True)
    coming = asyncio.ensure_future(anext(following))
    message = await delivered(queue, "a.example")
    assert (await asyncio.wait_for(coming, 10)).message == message
    await following.aclose()


@pytest.mark.usefixtures("obeyed")
async def test_it_prints_a_line_an_event_and_ends_with_ctrl_c(
    queue: QueueStore, store_url: str, tmp_path: Path
) -> None:
    message = await delivered(queue, "a.example")

    def said(*arguments: str) -> subprocess.CompletedProcess[str]:
        return relay("tail", *arguments, RELAY_STORE__URL=store_url)

    done = await asyncio.to_thread(said, "--json", "--kind", "delivered")
    [told] = [json.loads(each) for each in done.stdout.splitlines()]
    assert (done.returncode, told["message"], told["domain"]) == (0, message, "a.example")
    wrong = await asyncio.to_thread(said, "--kind", "lost", "--after", "x")
    assert (wrong.returncode, wrong.stderr.startswith("relay: --kind: lost is none")) == (2, True)
    process = await asyncio.create_subprocess_exec(
        *command("tail", "-f", "--after", told["id"]),
        cwd=tmp_path,
        env=environment(RELAY_STORE__URL=store_url),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        other = await delivered(queue, "b.example")
        first = await asyncio.wait_for(process.stdout.readline(), 30)
        assert f"accepted   {other}" in first.decode()
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_an_id_that_is_none_is_told(store_url: str) -> None:
    done = relay("tail", "--after", "yesterday", RELAY_STORE__URL=store_url)
    assert done.returncode == 2
    assert done.stderr == "relay: --after: yesterday is no id of an event of this store\n"
