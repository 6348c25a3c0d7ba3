"""With `replicated`, an acceptance is answered when the replicas have it, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from relay.errors import ConfigError, NotReplicated
from relay.mail.envelope import Envelope, Recipient
from relay.store.access import Access
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import ClientOptions
from relay.store.control import Control
from relay.store.script import Script
from relay.store.status import Status
from relay.submission import Submission, Submitter
from tests.support.replicated import Paused, ReplicatedStore

WRITE = Script("write", "#!lua\nreturn {redis.call('INCR', KEYS[1]), ARGV[1]}")
READ = Script("read", "#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1]) or 'none'")


@pytest.fixture(scope="module")
def store() -> Iterator[ReplicatedStore]:
    """A primary and one replica."""
    made = ReplicatedStore(replicas=1).start()
    yield made
    made.remove()


@pytest.fixture
async def access(store: ReplicatedStore) -> AsyncIterator[Access]:
    """An empty store, whose acceptances wait for the replica for two seconds."""
    store.flush()
    made = Access(Address.parse(store.primary.tcp_url), "replicated", ClientOptions(patience=2))
    await made.open(partitions=1, replicas=0)
    yield made
    await made.close()


def waits(store: ReplicatedStore) -> int:
    """How many WAITs the primary has answered."""
    for line in store.command("INFO", "commandstats").decode().splitlines():
        if line.startswith("cmdstat_wait:"):
            return int(line.partition("calls=")[2].partition(",")[0])
    return 0


async def test_an_answer_waits_for_the_replica(store: ReplicatedStore, access: Access) -> None:
    client = access.accepting
    with Paused(store.replicas[0]):
        written = client.call(WRITE, ["n"], ["x"], confirmed=True)
        assert await client.call(READ, ["other"]) == b"none"
        assert await access.client.call(READ, ["n"]) == b"1"
        assert not written.done()
    assert await written == [1, b"x"]
    assert store.replicas[0].command("GET", "n") == b"1"


async def test_one_question_covers_all_that_was_written_before_it(
    store: ReplicatedStore, access: Access
) -> None:
    client = access.accepting
    await client.call(WRITE, ["n"], ["x"], confirmed=True)
    before = waits(store)
    for _ in range(3):
        calls = [client.call(WRITE, ["n"], ["x"], confirmed=True) for _ in range(100)]
        await asyncio.sleep(0)
        calls += [client.call(WRITE, ["n"], ["x"], confirmed=True) for _ in range(100)]
        await asyncio.gather(*calls)
    assert waits(store) - before <= 9
    assert int(store.replicas[0].command("GET", "n")) == 601


async def test_too_few_replicas_end_a_call_with_its_patience(
    store: ReplicatedStore, access: Access
) -> None:
    client = access.accepting
    with Paused(store.replicas[0]):
        early = client.call(WRITE, ["n"], ["x"], patience=0.5, confirmed=True)
        late = client.call(WRITE, ["n"], ["x"], patience=20, confirmed=True)
        with pytest.raises(NotReplicated):
            await early
        # What finishes work does not wait behind them.
        async with asyncio.timeout(0.5):
            await access.client.read("GET", "n")
        assert not late.done()
    assert await late == [2, b"x"]


async def test_a_connection_lost_while_it_waits_has_all_said_again(
    store: ReplicatedStore, access: Access
) -> None:
    client = access.accepting
    with Paused(store.replicas[0]):
        calls = [
            client.call(WRITE, ["n"], [str(n)], patience=20, confirmed=True) for n in range(20)
        ]
        while int(await access.client.read("GET", "n") or 0) < 20:
            pass
        await access.client.read("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    answers = await asyncio.gather(*calls)
    assert sorted(answer[0] for answer in answers) == list(range(21, 41))


async def test_a_script_that_the_server_lacks_is_confirmed_as_well(
    store: ReplicatedStore, access: Access
) -> None:
    store.command("SCRIPT", "FLUSH")
    answers = await asyncio.gather(
        *(access.accepting.call(WRITE, ["n"], ["x"], confirmed=True) for _ in range(5))
    )
    assert len(answers) == 5


def submission(submitter: Submitter, **more: str) -> Submission:
    """A message of one recipient."""
    envelope = Envelope("a@origin.test", (Recipient("b@there.test"),))
    content = (b"Subject: x\r\n\r\nhello\r\n",)
    return Submission(id=submitter.new_id(), envelope=envelope, content=content, **more)  # type: ignore[arg-type]


@pytest.fixture
def submitter(access: Access) -> Submitter:
    """What accepts messages into the store."""
    return Submitter(
        Admission(access.accepting, 1, AdmissionOptions()),
        1,
        lambda queues: None,
        withdraw=Control(access.client, 1).withdraw,
    )


async def test_what_the_replicas_do_not_have_in_time_is_cancelled(
    store: ReplicatedStore, access: Access, submitter: Submitter
) -> None:
    message = submission(submitter)
    with Paused(store.replicas[0]), pytest.raises(NotReplicated):
        await submitter.submit(message)
    found = await Status(access.client, 1).message(message.id)
    assert not found.open
    assert [over.ended.fate for over in found.outcomes] == ["cancelled"]


async def test_a_message_under_a_key_is_left_for_its_submitter_to_find(
    store: ReplicatedStore, access: Access, submitter: Submitter
) -> None:
    message = submission(submitter, idempotency_key="once")
    with Paused(store.replicas[0]), pytest.raises(NotReplicated):
        await submitter.submit(message)
    again = submission(submitter, idempotency_key="once")
    accepted = await submitter.submit(again)
    assert (accepted.id, accepted.repeated) == (message.id, True)
    assert (await Status(access.client, 1).message(message.id)).open


async def opening(store: ReplicatedStore, replicas: int = 0) -> str:
    """What is wrong with a store for `replicated`."""
    access = Access(Address.parse(store.primary.url), "replicated", ClientOptions(patience=2))
    try:
        await access.open(partitions=1, replicas=replicas)
    except ConfigError as error:
        return str(error)
    finally:
        await access.close()
    return ""


async def test_a_primary_that_would_go_on_alone_is_refused(store: ReplicatedStore) -> None:
    assert await opening(store) == ""
    assert "`min-replicas-to-write 2`" in await opening(store, replicas=2)
    store.command("CONFIG", "SET", "min-replicas-to-write", "0")
    try:
        assert "`min-replicas-to-write 1`" in await opening(store)
    finally:
        store.command("CONFIG", "SET", "min-replicas-to-write", "1")


async def test_a_replica_that_syncs_less_is_refused(store: ReplicatedStore) -> None:
    [replica] = store.replicas
    replica.command("CONFIG", "SET", "appendfsync", "everysec")
    try:
        assert f"replica at 127.0.0.1:{replica.port}" in await opening(store)
    finally:
        replica.command("CONFIG", "SET", "appendfsync", "always")
