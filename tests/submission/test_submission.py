"""Submission: what is accepted is in the store, grouped by domain, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.errors import IdempotencyConflict, ShareExceeded, SubmissionRefused
from relay.mail.delivery import MOST_RECIPIENTS
from relay.mail.envelope import Envelope, Recipient
from relay.mail.ids import partition_of
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.codec import Place, decode_stored
from relay.store.keys import CHUNK, partition_keys
from relay.store.status import Status, StoredMessage
from relay.submission import Accepted, Submission, Submitter

KEYS = partition_keys(0, 1)
CONTENT = b"Subject: hello\r\n\r\nhello\r\n"


class Desk:
    """A submitter on an empty store, and what it rang."""

    def __init__(self, client: StoreClient) -> None:
        self.client = client
        self.rung: list[str] = []
        self.full = False
        self.share = 0
        self.submitter = Submitter(
            Admission(client, 1, AdmissionOptions(), lambda: self.share),
            1,
            self.rung.extend,
            lambda _: self.full,
        )

    async def submit(self, *recipients: str, **others: object) -> Accepted:
        content = others.pop("content", (CONTENT,))
        fields = {"origin": "api", "id": self.submitter.new_id()} | others
        envelope = Envelope("s@sender.example", tuple(map(Recipient, recipients)))
        submission = Submission(envelope=envelope, content=content, **fields)  # type: ignore[arg-type]
        return await self.submitter.submit(submission)

    async def stored(self, message: str) -> StoredMessage:
        return await Status(self.client, 1).message(message)


@pytest.fixture
async def desk(store_url: str) -> AsyncIterator[Desk]:
    client = StoreClient(Address.parse(store_url))
    await client.start()
    yield Desk(client)
    await client.close()


async def test_recipients_become_one_delivery_for_each_domain(desk: Desk) -> None:
    accepted = await desk.submit("a@one.example", "b@two.example", "c@one.example")
    found = await desk.stored(accepted.id)
    assert sorted((one.stored.queue, len(one.delivery.recipients)) for one in found.open) == [
        ("one.example", 2),
        ("two.example", 1),
    ]
    assert sorted(desk.rung) == ["0/one.example", "0/two.example"]


async def test_a_hundred_recipients_make_a_delivery_and_more_make_more(desk: Desk) -> None:
    many = [f"u{number}@one.example" for number in range(2 * MOST_RECIPIENTS + 1)]
    found = await desk.stored((await desk.submit(*many)).id)
    assert [len(one.delivery.recipients) for one in found.open] == [100, 100, 1]
    assert [r.address for one in found.open for r in one.delivery.recipients] == many


async def test_a_queue_that_has_work_is_not_rung_again(desk: Desk) -> None:
    await desk.submit("a@one.example")
    await desk.submit("b@one.example")
    assert desk.rung == ["0/one.example"]


async def test_a_message_to_many_domains_is_whole_once_it_is_accepted(desk: Desk) -> None:
    domains = [f"d{number}.example" for number in range(120)]
    accepted = await desk.submit(*(f"u@{domain}" for domain in domains))
    found = await desk.stored(accepted.id)
    assert {one.stored.queue for one in found.open} == set(domains)
    # Those of the first parts are due: promote makes them ready from here.
    places = {one.stored.place for one in found.open}
    assert places == {Place.READY, Place.STAGED}
    now = int((await desk.client.read("TIME"))[0])
    later = await desk.client.read("ZRANGE", KEYS.later, 0, -1, "WITHSCORES")
    assert all(float(due) <= (now + 1) * 1000 for due in later[1::2])


async def test_large_content_lies_in_chunks_and_is_the_same_again(desk: Desk) -> None:
    content = bytes(range(32, 127)) * 10_000
    accepted = await desk.submit("a@one.example", content=(content,))
    chunks = -(-len(content) // CHUNK)
    names = KEYS.contents(accepted.id, chunks)
    assert b"".join([await desk.client.read("GET", name) for name in names]) == content
    assert [await desk.client.read("PTTL", name) for name in names] == [-1] * chunks
    value = await desk.client.read("HGET", KEYS.deliveries, f"{accepted.id}.0")
    assert decode_stored(value).chunks == chunks


async def test_content_that_comes_in_small_pieces_is_kept_in_them(desk: Desk) -> None:
    pieces = (b"a" * CHUNK, b"b" * 10, b"c" * (CHUNK + 1))
    accepted = await desk.submit("a@one.example", content=pieces)
    lengths = [await desk.client.read("STRLEN", name) for name in KEYS.contents(accepted.id, 4)]
    assert lengths == [CHUNK, 10, CHUNK, 1]


async def test_the_same_key_gives_one_message_also_when_it_is_said_at_once(desk: Desk) -> None:
    answers = await asyncio.gather(
        *(desk.submit("a@one.example", idempotency_key="k", tenant="t") for _ in range(10))
    )
    assert len({answer.id for answer in answers}) == 1
    assert [answer.repeated for answer in answers].count(False) == 1
    assert await desk.client.read("HLEN", KEYS.deliveries) == 1


async def test_another_message_under_the_same_key_is_refused(desk: Desk) -> None:
    await desk.submit("a@one.example", idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        await desk.submit("b@one.example", idempotency_key="k")
    other_tenant = await desk.submit("b@one.example", idempotency_key="k", tenant="t")
    assert not other_tenant.repeated


@pytest.mark.parametrize("octets", [10, 2 * CHUNK])
async def test_the_trace_header_is_no_part_of_what_is_the_same(desk: Desk, octets: int) -> None:
    async def submit(trace: bytes, body: bytes) -> Accepted:
        content = (trace + body[:CHUNK], body[CHUNK:]) if len(body) > CHUNK else (trace + body,)
        return await desk.submit(
            "a@one.example", idempotency_key="k", content=content, trace=len(trace)
        )

    first = await submit(b"Received: one\r\n", b"x" * octets)
    again = await submit(b"Received: another\r\n", b"x" * octets)
    assert (again.id, again.repeated) == (first.id, True)
    with pytest.raises(IdempotencyConflict):
        await submit(b"Received: one\r\n", b"y" * octets)


async def test_a_key_stands_for_its_message_as_long_as_the_settings_say(
    desk: Desk,
) -> None:
    accepted = await desk.submit("a@one.example", idempotency_key="k")
    [name] = await desk.client.read("KEYS", KEYS.idempotency("*"))
    assert 86_000_000 < await desk.client.read("PTTL", name) <= 86_400_000
    assert (await desk.client.read("GET", name)).startswith(accepted.id.encode())


async def test_a_tenant_above_its_share_is_to_wait_and_leaves_nothing_behind(desk: Desk) -> None:
    desk.share = 3 * CHUNK
    large = (b"x" * CHUNK, b"y" * CHUNK)
    accepted = await desk.submit("a@one.example", content=large, tenant="t")
    with pytest.raises(ShareExceeded) as refused:
        await desk.submit("a@one.example", content=large, tenant="t")
    assert str(refused.value).startswith("452 4.3.1 Your messages")
    assert len(await desk.client.read("KEYS", KEYS.content("*"))) == 2
    await desk.submit("a@one.example", content=large, tenant="other")
    # A DSN ends what takes up room.
    await desk.submit("a@one.example", content=large, tenant="t", origin="dsn")
    assert (await desk.stored(accepted.id)).record.tenant == "t"


async def test_the_same_id_is_accepted_once(desk: Desk) -> None:
    one = desk.submitter.new_id()
    first = await desk.submit("a@one.example", id=one)
    again = await desk.submit("a@one.example", id=one)
    assert (first.repeated, again.repeated) == (False, True)
    assert await desk.client.read("HLEN", KEYS.deliveries) == 1


async def test_a_full_store_refuses_with_452_and_keeps_nothing(desk: Desk) -> None:
    desk.full = True
    with pytest.raises(SubmissionRefused) as ahead:
        await desk.submit("a@one.example")
    desk.full = False
    await desk.client.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(SubmissionRefused) as behind:
            await desk.submit("a@one.example")
    finally:
        await desk.client.command("CONFIG", "SET", "maxmemory", "0")
    assert [str(refused.value)[:9] for refused in (ahead, behind)] == ["452 4.3.1"] * 2
    assert await desk.client.read("HLEN", KEYS.deliveries) == 0


async def test_a_message_for_later_waits_and_rings_nobody(desk: Desk) -> None:
    seconds, _ = await desk.client.read("TIME")
    due = (int(seconds) + 3600) * 1000
    accepted = await desk.submit("a@one.example", send_at_ms=due)
    assert desk.rung == []
    assert float(await desk.client.read("ZSCORE", KEYS.later, f"{accepted.id}.0")) == due


async def test_an_idempotency_key_names_the_partition_of_its_message(desk: Desk) -> None:
    submitter = Submitter(Admission(desk.client, 8, AdmissionOptions()), 8, desk.rung.extend)
    ids = [submitter.new_id("tenant", "key") for _ in range(5)]
    assert len({partition_of(one) for one in ids}) == 1
    assert len({partition_of(submitter.new_id("tenant", f"k{n}")) for n in range(200)}) == 8
    assert len({partition_of(submitter.new_id()) for _ in range(200)}) == 8
