"""Whole queues move between real stores and through files, and nothing is lost or doubled."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.console.moving import Moved, Mover, export_to, import_from
from relay.errors import DamagedRecord, StoreUnavailable
from relay.mail.delivery import Delivery
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.codec import Flag, Place, decode_stored
from relay.store.spool import Spool
from tests.support.queue import MINUTE, New, QueueStore
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

DAYS_MS = 5 * 24 * 60 * MINUTE


@pytest.fixture(scope="module")
def other_server() -> Iterator[ValkeyServer]:
    server = ValkeyServer(**STORE_OPTIONS).start()
    yield server
    server.remove()


@pytest.fixture
async def other(other_server: ValkeyServer) -> AsyncIterator[StoreClient]:
    other_server.flush()
    client = StoreClient(Address.parse(other_server.url), ClientOptions(patience=2.0))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
def target(other: StoreClient) -> QueueStore:
    return QueueStore(other)


def mover(queue: QueueStore, target: QueueStore, partitions: int = 1) -> Mover:
    return Mover(queue.client, 1, target.client, partitions, DAYS_MS)


async def stored(queue: QueueStore, delivery: str) -> Delivery:
    value = await queue.client.read("HGET", queue.keys.deliveries, delivery)
    return decode_stored(value).delivery


async def test_each_message_goes_with_all_that_it_is(queue: QueueStore, target: QueueStore) -> None:
    now = await queue.now()
    ready = await queue.admitted(New(flags=Flag.REPORT), content=b"Subject: 1\r\n\r\none\r\n")
    later = await queue.admitted(New(queue="b.example", lane="hacme", due_ms=now + MINUTE))
    held = await queue.admitted(New(queue="c.example"))
    await queue.hold(f"{held}.0")
    before = {one: await stored(queue, f"{one}.0") for one in (ready, later, held)}

    assert await mover(queue, target).run(5) == Moved(moved=3, repeated=0, under_way=0, left=0)

    assert await queue.client.read("HLEN", queue.keys.deliveries) == 0
    assert {one: await stored(target, f"{one}.0") for one in before} == before
    assert await target.place(f"{ready}.0") is Place.READY
    assert await target.place(f"{held}.0") is Place.HELD
    assert await target.place(f"{later}.0") is Place.LATER
    assert (await target.scores(target.keys.later))[f"{later}.0"] == now + MINUTE
    expires = await target.scores(target.keys.expiry)
    age = now + DAYS_MS
    assert all(abs(expires[f"{one}.0"] - age) < MINUTE for one in (ready, later, held))
    assert await Spool(target.client, 1).whole(0, [ready]) == [b"Subject: 1\r\n\r\none\r\n"]
    [lease] = await target.lease("a.example")
    assert lease.id == f"{ready}.0"
    value = await target.client.read("HGET", target.keys.deliveries, lease.id)
    assert decode_stored(value).flags & Flag.REPORT


async def test_a_large_message_and_one_of_many_deliveries_go_too(
    queue: QueueStore, target: QueueStore
) -> None:
    large = queue.new_id()
    await queue.store_chunks(large, 3)
    await queue.admitted(message=large, chunks=3)
    many = await queue.admitted(*(New(queue=f"d{n}.example") for n in range(50)))
    done = await mover(queue, target).run(5)
    assert (done.moved, done.left) == (2, 0)
    chunks = [chunk async for chunk in Spool(target.client, 1).chunks(0, large, 3)]
    assert chunks == [b"x" * 10] * 3
    assert await target.client.read("HLEN", target.keys.deliveries) == 51
    assert await target.place(f"{many}.49") is Place.READY


async def test_an_attempt_under_way_keeps_its_message_here(
    queue: QueueStore, target: QueueStore
) -> None:
    message = await queue.admitted()
    [lease] = await queue.lease()
    assert (await mover(queue, target).run(0)).under_way == 1
    assert await target.place(f"{message}.0") is None
    # It goes on here as if nothing had been asked.
    await queue.settle(lease, verb="later", outcome=b"", slot="1", wait_ms=MINUTE)
    assert await queue.place(f"{message}.0") is Place.LATER
    assert (await mover(queue, target).run(5)).moved == 1
    assert await target.place(f"{message}.0") is Place.LATER


async def test_what_a_killed_run_left_is_moved_once(queue: QueueStore, target: QueueStore) -> None:
    """It died when the message was in both stores."""
    message = await queue.admitted()
    await queue.hold(f"{message}.0")
    await target.admitted(message=message)
    done = await mover(queue, target).run(5)
    assert (done.moved, done.repeated) == (0, 1)
    assert await queue.client.read("HLEN", queue.keys.deliveries) == 0
    assert await target.client.read("HLEN", target.keys.deliveries) == 1


async def test_a_store_of_other_partitions_takes_it(queue: QueueStore, target: QueueStore) -> None:
    messages = [await queue.admitted() for _ in range(3)]
    assert (await mover(queue, target, partitions=4).run(5)).moved == 3
    target.partition(0, 4)
    assert await target.place(f"{messages[0]}.0") is Place.READY


async def test_a_target_that_ends_leaves_everything_here(
    queue: QueueStore, target: QueueStore, other_server: ValkeyServer
) -> None:
    messages = [await queue.admitted() for _ in range(5)]
    other_server.stop()
    try:
        with pytest.raises(StoreUnavailable):
            await mover(queue, target).run(1)
    finally:
        other_server.start()
    assert [await queue.place(f"{one}.0") for one in messages] == [Place.READY] * 5


async def test_a_message_without_content_stays_and_is_told(
    queue: QueueStore, target: QueueStore
) -> None:
    bad, good = await queue.admitted(), await queue.admitted()
    await queue.client.read("DEL", queue.keys.content(bad))
    done = await mover(queue, target).run(5)
    assert (done.moved, done.left) == (1, 1)
    assert await queue.place(f"{bad}.0") is Place.READY
    assert await target.place(f"{good}.0") is Place.READY


async def test_a_file_holds_the_queue_and_gives_it_back_held(
    queue: QueueStore, target: QueueStore, tmp_path: Path
) -> None:
    file = tmp_path / "queue"
    messages = [await queue.admitted(New(), New(queue="b.example")) for _ in range(250)]
    assert (await export_to(file, queue.client, 1, DAYS_MS)).moved == 250
    assert await queue.place(f"{messages[0]}.0") is Place.READY
    assert (await import_from(file, target.client, 1, held=True)).moved == 250
    assert await target.client.read("ZCARD", target.keys.held) == 500
    assert await import_from(file, target.client, 1, held=True) == Moved(0, 250, 0, 0)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda whole: whole[: len(whole) // 2], "messages were read"),
        (lambda whole: gzip.compress(gzip.decompress(whole)[:-4]), "ends too soon"),
        (lambda whole: gzip.compress(b"From ann"), "no file that relay export wrote"),
        (lambda _: b"From ann", "Not a gzipped file"),
    ],
    ids=["cut off", "without its end", "another file", "not even packed"],
)
async def test_a_damaged_file_is_told(
    queue: QueueStore, target: QueueStore, tmp_path: Path, spoil: object, told: str
) -> None:
    await queue.admitted()
    await export_to(tmp_path / "good", queue.client, 1, DAYS_MS)
    assert callable(spoil)
    (tmp_path / "bad").write_bytes(spoil((tmp_path / "good").read_bytes()))
    with pytest.raises(DamagedRecord, match=told):
        await import_from(tmp_path / "bad", target.client, 1, held=False)


async def test_no_file_is_overwritten(queue: QueueStore, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious")
    with pytest.raises(FileExistsError):
        await export_to(tmp_path / "there", queue.client, 1, DAYS_MS)
