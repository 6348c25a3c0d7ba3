"""The doorbell against a real broker that comes, goes and stands still."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.errors import StoreUnavailable
from relay.store.address import Address
from relay.store.doorbell import Doorbell, DoorbellOptions
from tests.support.valkey import BROKER_OPTIONS, ValkeyServer


@pytest.fixture
def broker(broker_server: ValkeyServer) -> ValkeyServer:
    broker_server.flush()
    return broker_server


@pytest.fixture
def own_broker() -> Iterator[ValkeyServer]:
    """A broker that the test may stop, kill or not even start."""
    server = ValkeyServer(**BROKER_OPTIONS)
    yield server
    server.remove()


@asynccontextmanager
async def doorbell(server: ValkeyServer, **options: Any) -> AsyncIterator[Doorbell]:
    bell = Doorbell(Address.parse(server.url), DoorbellOptions(**options))
    try:
        yield bell
    finally:
        await bell.close()


def wakeups(server: ValkeyServer) -> list[list[str]]:
    """The queues of each wake-up in the broker, oldest first."""
    messages = [json.loads(raw) for raw in server.command("LRANGE", "relay", 0, -1)]
    return [json.loads(message["body"])[0][0] for message in reversed(messages)]


async def until(look: Any, patience: float = 10.0) -> None:
    deadline = time.monotonic() + patience
    while not look():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.005)


async def test_names_rung_in_one_turn_go_into_one_wake_up_without_repetition(
    broker: ValkeyServer,
) -> None:
    async with doorbell(broker) as bell:
        bell.ring(["0/a.example", "0/b.example"])
        bell.ring(["0/a.example", "0/c.example"])
        await until(lambda: bell.published == 1)
    assert wakeups(broker) == [["0/a.example", "0/b.example", "0/c.example"]]


async def test_a_wake_up_after_a_pause_goes_at_once_and_the_next_waits_for_company(
    broker: ValkeyServer,
) -> None:
    async with doorbell(broker, interval=60.0) as bell:
        bell.ring(["0/first.example"])
        await until(lambda: bell.published == 1)
        bell.ring(["0/second.example"])
        bell.ring(["0/third.example"])
        await bell.depth()
        assert wakeups(broker) == [["0/first.example"]]
    assert wakeups(broker)[1:] == [["0/second.example", "0/third.example"]]


async def test_the_more_a_wake_up_names_the_longer_the_next_one_waits_for_company(
    broker: ValkeyServer,
) -> None:
    async with doorbell(broker, interval=0.0, spread=30.0, longest=60.0) as bell:
        bell.ring(["0/first.example", "0/second.example"])
        await until(lambda: bell.published == 1)
        assert bell._next - asyncio.get_running_loop().time() == pytest.approx(60.0, abs=5.0)
        bell.ring(["0/third.example"])
        await bell.depth()
        assert wakeups(broker) == [["0/first.example", "0/second.example"]]
    assert wakeups(broker)[1:] == [["0/third.example"]]


async def test_a_wake_up_waits_no_longer_than_is_set_however_many_the_one_before_named(
    broker: ValkeyServer,
) -> None:
    async with doorbell(broker, interval=0.0, spread=30.0, longest=40.0) as bell:
        bell.ring([f"0/d{number}.example" for number in range(9)])
        await until(lambda: bell.published == 1)
        assert bell._next - asyncio.get_running_loop().time() == pytest.approx(40.0, abs=5.0)


async def test_a_full_wake_up_does_not_wait(broker: ValkeyServer) -> None:
    names = [f"0/d{number}.example" for number in range(120)]
    async with doorbell(broker, interval=60.0) as bell:
        bell.ring(["0/first.example"])
        await until(lambda: bell.published == 1)
        for name in names:
            bell.ring([name])
        await until(lambda: bell.published == 3)
    assert [len(names) for names in wakeups(broker)] == [1, 100, 20]
    assert [name for names in wakeups(broker)[1:] for name in names] == names


async def test_a_broker_that_comes_late_gets_what_was_rung_before(own_broker: ValkeyServer) -> None:
    async with doorbell(own_broker) as bell:
        bell.ring(["0/early.example"])
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(_depth_soon(bell), 2)
        own_broker.start()
        await until(lambda: bell.published == 1)
        assert wakeups(own_broker) == [["0/early.example"]]


async def _depth_soon(bell: Doorbell) -> int:
    try:
        async with asyncio.timeout(0.2):
            return await bell.depth()
    except TimeoutError:
        raise StoreUnavailable("no answer yet") from None


async def test_a_broker_killed_and_back_is_rung_again(own_broker: ValkeyServer) -> None:
    own_broker.start()
    async with doorbell(own_broker) as bell:
        bell.ring(["0/one.example"])
        await until(lambda: bell.published == 1)
        own_broker.kill()
        bell.ring(["0/two.example"])
        own_broker.start()
        bell.ring(["0/three.example"])
        await until(lambda: bell.published >= 2 and not bell._names)
        rung = {name for names in wakeups(own_broker) for name in names}
        assert {"0/two.example", "0/three.example"} <= rung


async def test_a_broker_that_stands_still_blocks_nobody_and_loses_nothing(
    own_broker: ValkeyServer,
) -> None:
    process = own_broker.start().process
    assert process is not None
    async with doorbell(own_broker, timeout=0.2) as bell:
        await bell.depth()
        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        for number in range(1000):
            bell.ring([f"0/d{number}.example"])
        assert time.monotonic() - started < 0.2
        await until(lambda: bell._connecting is not None)
        process.send_signal(signal.SIGCONT)
        await until(lambda: not bell._names and bell.published >= 10)
    rung = {name for names in wakeups(own_broker) for name in names}
    assert len(rung) == 1000


async def test_while_the_broker_is_away_the_oldest_names_are_dropped(
    own_broker: ValkeyServer,
) -> None:
    async with doorbell(own_broker, most_kept=3) as bell:
        for number in range(5):
            bell.ring([f"0/d{number}.example"])
        assert list(bell._names) == ["0/d2.example", "0/d3.example", "0/d4.example"]
        assert bell.dropped == 2


async def test_a_broker_with_more_than_enough_is_rung_no_more(broker: ValkeyServer) -> None:
    async with doorbell(broker, most_waiting=2) as bell:
        for number in range(2):
            bell.ring([f"0/d{number}.example"])
            await until(lambda: bell.published == number + 1)  # noqa: B023
        bell.ring(["0/muted.example"])
        assert bell.dropped == 1
        assert await bell.depth() == 2
        broker.command("DEL", "relay")
        assert await bell.depth() == 0
        bell.ring(["0/heard.example"])
        await until(lambda: bell.published == 3)
    assert wakeups(broker) == [["0/heard.example"]]


async def test_a_broker_that_refuses_is_not_asked_again_at_once(own_broker: ValkeyServer) -> None:
    own_broker.options["maxmemory"] = "1mb"
    own_broker.start()
    own_broker.command("CONFIG", "SET", "maxmemory", "1")
    async with doorbell(own_broker) as bell:
        bell.ring(["0/a.example"])
        await until(lambda: bell.dropped == 1)
        assert bell.published == 0
        own_broker.command("CONFIG", "SET", "maxmemory", "0")
        bell.ring(["0/b.example"])
        await until(lambda: bell.published == 1)


async def test_after_its_end_it_is_silent(broker: ValkeyServer) -> None:
    async with doorbell(broker) as bell:
        pass
    bell.ring(["0/a.example"])
    await asyncio.sleep(0)
    assert wakeups(broker) == []
