"""Credentials, failed logins and quotas in the store; each script said twice."""

from __future__ import annotations

from typing import Any

import pytest

from relay.errors import DamagedRecord, NewerRecord
from relay.policy.credential import Credential, Quotas, Secret
from relay.store import identity_keys as keys
from relay.store.client import StoreClient
from relay.store.identity import IdentityStore, Spent
from relay.store.script import Text, script
from relay.store.wire import ReplyError

ANN = Credential(1, "user", "ann", "acme", (Secret("h"),), senders=("example.com",), changed_ms=1)
EVENT = {"action": "added", "by": "test"}


async def test_a_credential_is_added_once_and_each_change_is_an_event(client: StoreClient) -> None:
    store = IdentityStore(client)
    assert await store.find("user", "ann") is None
    assert await store.change(None, ANN, EVENT)
    found = await store.find("user", "ann")
    assert found is not None
    assert found.credential == ANN
    assert await store.find("token", "ann") is None
    assert not await store.change(None, Credential(1, "user", "ann", "other", ()), EVENT)
    assert await store.change(found, None, {"action": "removed", "by": "test"})
    assert await store.all("user") == []
    assert [change.fields["action"] for change in await store.changes(10)] == ["removed", "added"]


async def test_a_change_said_twice_is_one_event(client: StoreClient) -> None:
    store = IdentityStore(client)
    for _ in range(2):
        assert await store.change(None, ANN, EVENT)
    found = await store.find("user", "ann")
    for _ in range(2):
        assert await store.change(found, None, EVENT)
    assert len(await store.changes(10)) == 2


async def test_of_two_changes_at_once_one_is_told_that_it_came_late(client: StoreClient) -> None:
    store = IdentityStore(client)
    await store.change(None, ANN, EVENT)
    found = await store.find("user", "ann")
    assert await store.change(found, Credential(1, "user", "ann", "b", ()), EVENT)
    assert not await store.change(found, Credential(1, "user", "ann", "c", ()), EVENT)
    assert not await store.change(found, None, EVENT)


async def test_what_a_newer_version_wrote_is_not_read(client: StoreClient) -> None:
    await client.read("HSET", keys.credentials("user"), "ann", b"\x92\xcd\x03\xe7\xa1x")
    with pytest.raises(NewerRecord):
        await IdentityStore(client).find("user", "ann")


async def test_what_cannot_be_read_is_told_and_left_as_it_is(client: StoreClient) -> None:
    await client.read("HSET", keys.credentials("user"), "ann", b"\x91\x01")
    with pytest.raises(DamagedRecord):
        await IdentityStore(client).find("user", "ann")


async def test_failures_count_for_their_time_and_a_token_counts_once(client: StoreClient) -> None:
    store = IdentityStore(client)

    async def say(verb: Any, token: str = "", window_ms: int = 60_000) -> tuple[int, bool]:
        found = await store.logins(
            "w", verb, window_ms=window_ms, known_ms=1000, client="192.0.2.1", token=token
        )
        assert 0 <= found.again_ms <= window_ms
        assert bool(found.again_ms) == bool(found.count)
        return found.count, found.known

    assert await say("look") == (0, False)
    assert [await say("failed", token) for token in "aab"] == [(1, False), (1, False), (2, False)]
    assert await say("passed") == (2, True)
    assert await say("passed") == (2, True)
    await client.read("ZADD", keys.failures("w"), 1, "a")
    await client.read("ZADD", keys.known("w"), 1, "192.0.2.1")
    assert await say("look") == (1, False)
    for key in (keys.failures("w"), keys.known("w")):
        assert await client.read("PTTL", key) > 0


async def test_what_is_kept_of_failures_is_bounded(client: StoreClient) -> None:
    store = IdentityStore(client)
    many = [part for at in range(1005) for part in (at, str(at))]
    await client.read("ZADD", keys.failures("w"), *many)
    await store.logins("w", "failed", window_ms=60_000, known_ms=1, token="one more")
    assert await client.read("ZCARD", keys.failures("w")) == 1000


def spend(store: IdentityStore, quotas: Quotas, seq: int, *recipients: int) -> Any:
    return store.spend("acme", "user", "ann", quotas, holder="h", seq=seq, recipients=recipients)


@pytest.mark.parametrize(
    ("quotas", "quota", "longest"),
    [
        (Quotas(messages_minute=3), "messages_minute", 60_000),
        (Quotas(messages_day=3), "messages_day", 86_400_000),
        (Quotas(recipients_minute=6), "recipients_minute", 60_000),
        (Quotas(recipients_day=6), "recipients_day", 86_400_000),
        (Quotas(messages_minute=3, messages_day=3), "messages_day", 86_400_000),
    ],
)
async def test_a_quota_is_never_exceeded_and_says_when_it_begins_anew(
    client: StoreClient, quotas: Quotas, quota: str, longest: int
) -> None:
    store = IdentityStore(client)
    assert await spend(store, quotas, 1, 2, 2) == Spent((True, True), "", 0)
    told = await spend(store, quotas, 2, 2, 2, 2)
    assert (told.fits, told.quota) == ((True, False, False), quota)
    assert 0 < told.again_ms <= longest


async def test_what_is_too_large_is_refused_and_what_fits_behind_it_is_not(
    client: StoreClient,
) -> None:
    told = await spend(IdentityStore(client), Quotas(recipients_day=10), 1, 11, 4, 7, 6)
    assert told.fits == (False, True, False, True)


async def test_said_twice_it_is_counted_once(client: StoreClient) -> None:
    store, quotas = IdentityStore(client), Quotas(messages_minute=2, messages_day=3)
    first = await spend(store, quotas, 1, 1, 1, 1)
    assert await spend(store, quotas, 1, 1, 1, 1) == first
    assert first.fits == (True, True, False)


async def test_another_minute_is_another_quota(client: StoreClient) -> None:
    store, quotas = IdentityStore(client), Quotas(messages_minute=1, messages_day=2)
    assert (await spend(store, quotas, 1, 1)).fits == (True,)
    key = keys.quota("acme", "user", "ann")
    await client.read("HSET", key, "minute", 1)
    assert (await spend(store, quotas, 2, 1)).fits == (True,)
    await client.read("HSET", key, "minute", 1)
    assert (await spend(store, quotas, 3, 1)).quota == "messages_day"
    assert await client.read("PTTL", key) > 0


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("credential", ["ann", "", "", 5, "a", "b"]),
        ("credential", ["ann", "", "x", 5, "a"]),
        ("login", ["guess", 1, 1, "", ""]),
        ("login", ["look", 0, 1, "", ""]),
        ("spend", [1, 1, 1, 1, 1]),
        ("spend", [1, 1, 1, 1, 1, -1]),
        ("spend", [1, 1, 1, 1, 1, *[1] * 101]),
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_written(
    client: StoreClient, name: str, args: list[Text]
) -> None:
    with pytest.raises(ReplyError, match="ARGUMENTS"):
        await client.call(script(name), ["relay:{k}:a", "relay:{k}:b"], args)
    assert await client.read("DBSIZE") == 0
