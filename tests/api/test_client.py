"""The Python client on the store itself."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from relay import AsyncRelay, Message, Relay
from relay.api import (
    Accepted,
    IdempotencyConflict,
    InvalidMessage,
    NoSuchMessage,
    Priority,
    SomeRefused,
    StoreFull,
    StoreUnavailable,
    SubmissionRefused,
)
from relay.errors import ConfigError
from tests.support.queue import QueueStore, attempt
from tests.support.source import eventually
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

HELLO = Message(from_="ann@example.com", to="u@a.example", subject="Hello", text="Hello.")


@pytest.fixture
def blocking(own_store: str, broker_url: str) -> Iterator[Relay]:
    with Relay(own_store, broker=broker_url) as relay:
        yield relay


def test_fields_octets_and_the_standard_librarys_message_are_taken(blocking: Relay) -> None:
    theirs = EmailMessage()
    theirs["From"], theirs["To"] = "ann@example.com", "bob@example.net"
    theirs.set_content("Hello Bob.")
    for accepted in (
        blocking.submit(from_="ann@example.com", to=["bob@example.net"], subject="x", text="y"),
        blocking.submit(Message(from_="ann@example.com", to="bob@example.net", text="y")),
        blocking.submit(theirs),
        blocking.submit(bytes(theirs)),
        blocking.submit(theirs.as_bytes(), to="bob@example.net", tags=["a"], envelope_sender=""),
    ):
        status = blocking.status(accepted.id)
        assert [(to.address, to.state) for to in status.recipients] == [
            ("bob@example.net", "queued")
        ]
    assert (status.sender, status.tags) == ("", ("a",))


def test_a_message_that_cannot_be_names_its_fields(blocking: Relay) -> None:
    with pytest.raises(InvalidMessage) as caught:
        blocking.submit(from_="ann", to="bob@example.net", text="x")
    assert [field for field, _ in caught.value.problems] == ["from"]
    with pytest.raises(InvalidMessage, match="subjct is no field"):
        blocking.submit(HELLO, subjct="x")  # type: ignore[call-arg]
    with pytest.raises(InvalidMessage, match="time zone"):
        blocking.submit(HELLO, send_at=datetime(2030, 1, 1))  # noqa: DTZ001
    with pytest.raises(InvalidMessage, match="a str is no message"):
        blocking.submit("From: x")  # type: ignore[arg-type]


async def test_many_messages_have_their_results_in_order(relay: AsyncRelay) -> None:
    messages = [
        Message(from_="ann@example.com", to=f"u{n}@a.example", text="x") for n in range(600)
    ]
    messages[7] = Message(from_="ann@example.com", to="nobody", text="x")
    with pytest.raises(SomeRefused, match=r"1 of 600 messages not accepted: to no address"):
        await relay.submit_many(messages)
    results = await relay.submit_many(iter(messages), return_errors=True)
    assert isinstance(results[7], InvalidMessage)
    accepted = [one for one in results if isinstance(one, Accepted)]
    assert len({one.id for one in accepted}) == 599
    for number in (0, 300, 599):
        status = await relay.status(results[number].id)  # type: ignore[union-attr]
        assert status.recipients[0].address == f"u{number}@a.example"


async def test_a_key_makes_a_repeat_the_same_message(relay: AsyncRelay) -> None:
    first = await relay.submit(HELLO, idempotency_key="k")
    again = await relay.submit(HELLO, idempotency_key="k")
    assert (again.id, first.repeated, again.repeated) == (first.id, False, True)
    other = await relay.submit(HELLO, idempotency_key="k", tenant="other")
    assert not other.repeated
    with pytest.raises(IdempotencyConflict):
        await relay.submit(HELLO, idempotency_key="k", subject="Another")


async def test_class_tenant_and_weight_are_honoured_in_the_lanes(
    relay: AsyncRelay, queue: QueueStore
) -> None:
    for number in range(40):
        await relay.submit(HELLO, tenant="a", tags=[str(number)])
    high = await relay.submit(HELLO, tenant="b", priority=Priority.HIGH)
    light = [await relay.submit(HELLO, tenant="c") for _ in range(9)]
    heavy = [await relay.submit(HELLO, tenant="d", weight=100) for _ in range(9)]
    leased = [lease.id[:20] for lease in await queue.lease(count=20)]
    assert high.id in leased
    taken = [sum(one.id in leased for one in lane) for lane in (light, heavy)]
    assert taken[1] > taken[0]


async def test_wait_returns_when_each_recipient_has_its_outcome(
    relay: AsyncRelay, queue: QueueStore
) -> None:
    accepted = await relay.submit(HELLO)
    with pytest.raises(TimeoutError):
        await relay.wait(accepted.id, timeout=0.05)
    waiting = asyncio.create_task(relay.wait(accepted.id, timeout=20))
    await queue.settle(*await queue.lease())
    status = await waiting
    assert [(to.state, to.last_reply) for to in status.recipients] == [
        ("delivered", "250 2.0.0 so")
    ]


async def test_what_is_scheduled_can_be_moved_and_cancelled(
    relay: AsyncRelay, queue: QueueStore
) -> None:
    at = datetime.now(UTC) + timedelta(days=10)
    accepted = await relay.submit(HELLO, send_at=at)
    status = await relay.status(accepted.id)
    assert status.recipients[0].next_attempt_at is not None
    assert abs(status.recipients[0].next_attempt_at - at) < timedelta(seconds=1)
    [moved] = await relay.reschedule(accepted.id, at - timedelta(days=1))
    assert (moved.answer, moved.domain) == ("later", "a.example")
    [moved] = await relay.reschedule(accepted.id)
    assert moved.answer == "ready"
    [stopped] = await relay.cancel(accepted.id)
    assert stopped.answer == "cancelled"
    assert (await relay.status(accepted.id)).recipients[0].state == "cancelled"
    assert await queue.lease() == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"send_at": datetime.now(UTC) + timedelta(days=91)}, "send_at"),
        ({"expires_at": datetime.now(UTC) - timedelta(days=1)}, "expires_at"),
        ({"expires_at": datetime.now(UTC) + timedelta(days=100)}, "expires_at"),
        ({"idempotency_key": "x" * 257}, "idempotency_key"),
        ({"idempotency_key": "a\nb"}, "idempotency_key"),
        ({"tenant": "a|b"}, "tenant"),
    ],
)
async def test_options_out_of_bounds_are_refused(
    relay: AsyncRelay, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidMessage) as caught:
        await relay.submit(HELLO, **fields)  # type: ignore[arg-type]
    assert [name for name, _ in caught.value.problems] == [field]


async def test_events_tell_what_happens_and_go_on_from_any_of_them(
    relay: AsyncRelay, queue: QueueStore
) -> None:
    following = relay.events("0-0")
    first = await relay.submit(HELLO, metadata={"order": "7"}, tags=["t"])
    [lease] = await queue.lease()
    await queue.settle(
        lease, verb="later", outcome=attempt(fate="deferred"), slot=str(lease.fence % 8)
    )
    await queue.reschedule(lease.id)
    await queue.settle(*await queue.lease())
    second = await relay.submit(HELLO)
    await relay.cancel(second.id)
    async with asyncio.timeout(20):
        told = [await anext(following) for _ in range(5)]
    assert [(event.type, event.message) for event in told] == [
        ("accepted", first.id), ("deferred", first.id), ("delivered", first.id),
        ("accepted", second.id), ("cancelled", second.id),
    ]  # fmt: skip
    assert [[(to.address, to.code) for to in event.recipients] for event in told[1:3]] == [
        [("u@a.example", 451)], [("u@a.example", 250)]
    ]  # fmt: skip
    assert (told[1].metadata, told[1].tags, told[1].domain) == ({"order": "7"}, ("t",), "a.example")
    async with asyncio.timeout(20):
        assert await anext(relay.events(told[2].id)) == told[3]
    with pytest.raises(NoSuchMessage):
        await anext(relay.events("yesterday"))


async def test_workers_are_rung_at_once_where_there_is_a_broker(
    relay: AsyncRelay, own_store: str, broker_server: ValkeyServer, queue: QueueStore
) -> None:
    await relay.submit(HELLO)
    await asyncio.to_thread(
        eventually, lambda: broker_server.command("LLEN", "relay"), "a wake-up", 20
    )


async def test_without_a_broker_the_pump_finds_it_at_once(
    own_store: str, queue: QueueStore
) -> None:
    async with AsyncRelay(own_store) as relay:
        await relay.submit(HELLO)
    _, *rung = await queue.ring()
    assert rung == ["a.example"]


def test_a_client_may_be_shared_by_threads(blocking: Relay) -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda: ids.append(blocking.submit(HELLO).id)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 20


def _submit_in_child(relay: Relay, told: multiprocessing.SimpleQueue[str]) -> None:
    told.put(relay.submit(HELLO).id)


def test_after_a_fork_the_child_has_connections_of_its_own(blocking: Relay) -> None:
    blocking.submit(HELLO)
    fork = multiprocessing.get_context("fork")
    told: multiprocessing.SimpleQueue[str] = fork.SimpleQueue()
    child = fork.Process(target=_submit_in_child, args=(blocking, told))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert blocking.status(told.get()).recipients
    assert blocking.submit(HELLO).id


def test_a_store_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(StoreUnavailable):
        Relay("unix:///nowhere/at/all").submit(HELLO)


def test_a_store_that_is_none_of_relays_is_refused(store_url: str) -> None:
    with pytest.raises(ConfigError, match="no Relay has used this store"):
        Relay(store_url).submit(HELLO)


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="token"):
        Relay("redis://127.0.0.1", token="x")
    with pytest.raises(ConfigError, match="broker"):
        Relay("https://relay.example", broker="redis://127.0.0.1")


def test_a_store_that_is_nearly_full_takes_no_more() -> None:
    server = ValkeyServer(**STORE_OPTIONS, maxmemory="24mb").start()
    try:
        server.command("HSET", "relay:schema", "partitions", 1, "version", 1)
        with Relay(server.url) as relay:
            relay.submit(HELLO)
            for number in range(20):
                server.command("SET", f"ballast{number}", b"x" * 1_000_000)

            def refused() -> bool:
                try:
                    relay.submit(HELLO)
                except SubmissionRefused as error:
                    return error.reply.code == 452
                return False

            eventually(refused, "a full store takes no more", 20)
    finally:
        server.remove()


async def test_an_unknown_message_is_told_apart(relay: AsyncRelay) -> None:
    for id_ in ("0" * 20, "nonsense", "1m8c8p5bk00qeaefe096"):
        with pytest.raises(NoSuchMessage):
            await relay.status(id_)
    assert issubclass(StoreFull, StoreUnavailable)
