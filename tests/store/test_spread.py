"""Acceptance over several connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.mail.envelope import Envelope, Recipient
from relay.store.access import Access
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.keys import partition_keys
from relay.submission import Accepted, Submission, Submitter

CONNECTIONS = 4


@pytest.fixture
async def access(store_url: str) -> AsyncIterator[Access]:
    made = Access(Address.parse(store_url), "fsync", connections=CONNECTIONS)
    await made.open(1, 0)
    yield made
    await made.close()


def submitter(access: Access) -> Submitter:
    return Submitter(Admission(access.accepting, 1, AdmissionOptions()), 1, lambda _: None)


def submit(to: Submitter, content: tuple[bytes, ...]) -> asyncio.Future[Accepted]:
    envelope = Envelope("s@s.example", (Recipient("u@a.example"),))
    return to.submit(Submission(id=to.new_id(), envelope=envelope, content=content))


async def test_messages_go_over_each_connection_in_turn(access: Access) -> None:
    to = submitter(access)
    answers = [submit(to, (b"%d\r\n" % number,)) for number in range(40)]
    accepted = await asyncio.gather(*answers)
    clients = await access.client.read("CLIENT", "LIST")
    said = [line for line in clients.decode().splitlines() if "cmd=eval" in line]
    assert len(said) == CONNECTIONS
    keys = partition_keys(0, 1)
    contents = [await access.client.read("GET", keys.content(one.id)) for one in accepted]
    assert contents == [b"%d\r\n" % number for number in range(40)]


async def test_a_large_message_is_whole_whichever_connections_its_parts_take(
    access: Access,
) -> None:
    chunks = tuple(bytes((number,)) * 200_000 for number in range(65, 70))
    done = await submit(submitter(access), chunks)
    names = partition_keys(0, 1).contents(done.id, len(chunks))
    assert [await access.client.read("GET", name) for name in names] == list(chunks)
    assert [await access.client.read("PTTL", name) for name in names] == [-1] * len(chunks)


async def test_what_was_said_is_answered_before_the_connections_are_closed(
    store_url: str,
) -> None:
    access = Access(Address.parse(store_url), "fsync", connections=CONNECTIONS)
    await access.open(1, 0)
    to = submitter(access)
    await submit(to, (b"the script is known from here on\r\n",))
    answers = [submit(to, (b"x\r\n",)) for _ in range(20)]
    await access.close()
    assert len({answer.result().id for answer in answers}) == 20
