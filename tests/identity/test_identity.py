"""Who somebody is: passwords, tokens, guesses, quotas; several processes over one store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from msgspec import structs

from relay.errors import BadCredential
from relay.identity import Identity, IdentityOptions, Principal, Refusal
from relay.identity.guesses import GuessLimits
from relay.identity.registry import Registry, Terms
from relay.policy.credential import Quotas
from relay.store.client import StoreClient
from tests.identity.conftest import Clock

Process = Callable[[IdentityOptions], Identity]
ANYWHERE = "192.0.2.1"
NO_CACHE = IdentityOptions(cache=0)
SENDERS = ("example.com",)


def why(result: Principal | Refusal) -> str:
    return result.why if isinstance(result, Refusal) else ""


async def add(registry: Registry, name: str, **terms: object) -> str:
    """A login; its password."""
    given = Terms(**({"senders": SENDERS} | terms))  # type: ignore[arg-type]
    return (await registry.add("user", name, given, by="test"))[1]


async def test_a_login_and_a_token_tell_who_they_are(
    registry: Registry, process: Process, client: StoreClient
) -> None:
    terms = Terms(tenant="acme", senders=SENDERS, quotas=Quotas(messages_day=5))
    password = await add(registry, "ann", tenant="acme", quotas=Quotas(messages_day=5))
    _, token = await registry.add("token", "app", terms, by="test")
    identity = process(NO_CACHE)
    ann = await identity.password("Ann", password, ANYWHERE)
    assert ann == Principal("ann", "user", "acme", ("send",), SENDERS, Quotas(messages_day=5))
    app = structs.replace(ann, kind="token", name="app")
    assert await identity.token(token, ANYWHERE) == app
    for login in ("token", "app"):
        assert await identity.password(login, token, ANYWHERE) == app
    assert why(await identity.password("ann", token, ANYWHERE)) == "credentials"
    everything = [
        *await client.read("HVALS", "relay:{identity}:users"),
        *await client.read("HVALS", "relay:{identity}:tokens"),
    ]
    assert password.encode() not in b"".join(everything)
    assert token[-43:].encode() not in b"".join(everything)


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("ann", "wrong"),
        ("bob", "right"),
        ("", ""),
        ("ann", ""),
        ("a\0nn", "x"),
        ("ann", "x" * 5000),
    ],
)
async def test_whoever_is_wrong_is_told_the_same(
    registry: Registry, process: Process, login: str, password: str
) -> None:
    await add(registry, "ann")
    refusal = await process(NO_CACHE).password(login, password, ANYWHERE)
    assert isinstance(refusal, Refusal)
    assert str(refusal.reply) == "535 5.7.8 Authentication credentials invalid"


@pytest.mark.parametrize("token", ["", "rly_", "rly_app", "rly_app.", "rly_app.x", "rly_nobody.x"])
async def test_what_is_no_token_is_nobody(registry: Registry, process: Process, token: str) -> None:
    await registry.add("token", "app", Terms(senders=SENDERS), by="test")
    assert why(await process(NO_CACHE).token(token, ANYWHERE)) == "credentials"


async def test_a_credential_counts_only_where_when_and_while_it_may(
    registry: Registry, process: Process, clock: Clock
) -> None:
    password = await add(
        registry, "ann", networks=("192.0.2.0/24",), expires_ms=round((time.time() + 60) * 1000)
    )
    identity = process(NO_CACHE)
    assert why(await identity.password("ann", password, "198.51.100.1")) == "network"
    assert why(await identity.password("ann", password, "")) == "network"
    assert why(await identity.password("ann", password, ANYWHERE)) == ""
    await registry.change("user", "ann", Terms(disabled=True), by="test")
    assert why(await identity.password("ann", password, ANYWHERE)) == "disabled"
    await registry.change("user", "ann", Terms(disabled=False), by="test")
    clock.ahead = 61
    assert why(await identity.password("ann", password, ANYWHERE)) == "expired"


async def test_a_change_holds_in_other_processes_when_their_cache_is_over(
    registry: Registry, process: Process
) -> None:
    password = await add(registry, "ann")
    identity = process(IdentityOptions(cache=0.2))
    assert why(await identity.password("ann", password, ANYWHERE)) == ""
    await registry.remove("user", "ann", by="test")
    deadline = time.monotonic() + 5
    while not why(await identity.password("ann", password, ANYWHERE)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["user", "token"])
async def test_a_rotation_overlaps_for_its_time(
    registry: Registry, process: Process, clock: Clock, kind: str
) -> None:
    identity = process(NO_CACHE)

    async def passes(secret: str) -> bool:
        if kind == "token":
            return not why(await identity.token(secret, ANYWHERE))
        return not why(await identity.password("app", secret, ANYWHERE))

    _, old = await registry.add(kind, "app", Terms(senders=SENDERS), by="test")  # type: ignore[arg-type]
    _, new = await registry.rotate(kind, "app", overlap_s=60, by="test")  # type: ignore[arg-type]
    assert [await passes(secret) for secret in (old, new)] == [True, True]
    clock.ahead = 61
    assert [await passes(secret) for secret in (old, new)] == [False, True]
    _, newest = await registry.rotate(kind, "app", overlap_s=0, by="test")  # type: ignore[arg-type]
    assert [await passes(secret) for secret in (new, newest)] == [False, True]


async def test_who_guesses_must_wait_whatever_process_he_asks(
    registry: Registry, process: Process
) -> None:
    password = await add(registry, "ann")
    options = IdentityOptions(cache=0, guesses=GuessLimits(per_client=3, per_account=100))
    processes = [process(options) for _ in range(3)]
    told = [
        why(await processes[at % 3].password(f"guess{at}", "wrong", ANYWHERE)) for at in range(5)
    ]
    assert told == ["credentials"] * 3 + ["locked"] * 2
    assert why(await processes[0].password("ann", password, ANYWHERE)) == "locked"
    assert why(await processes[0].token("rly_ann.guess", ANYWHERE)) == "locked"
    assert why(await processes[0].password("ann", password, "192.0.2.2")) == ""


async def test_an_account_is_locked_for_those_who_are_new_to_it_alone(
    registry: Registry, process: Process
) -> None:
    password = await add(registry, "ann")
    options = IdentityOptions(cache=0, passed=0, guesses=GuessLimits(per_account=3))
    identity = process(options)
    assert why(await identity.password("ann", password, ANYWHERE)) == ""
    for at in range(3):
        assert why(await identity.password("Ann", "wrong", f"198.51.100.{at}")) == "credentials"
    assert why(await identity.password("ann", password, "198.51.100.9")) == "locked"
    assert why(await identity.password("ann", password, ANYWHERE)) == ""


async def test_many_tries_at_once_get_no_further_than_one_after_the_other(
    registry: Registry, process: Process
) -> None:
    await add(registry, "ann")
    identity = process(IdentityOptions(guesses=GuessLimits(per_client=3), waiting=100))
    tries = (identity.password("ann", f"guess {at}", ANYWHERE) for at in range(30))
    told = [why(result) for result in await asyncio.gather(*tries)]
    assert told.count("credentials") == 3
    assert told.count("locked") == 27


async def test_a_flood_of_logins_leaves_the_loop_free_and_is_turned_away(
    registry: Registry, process: Process
) -> None:
    await add(registry, "ann")
    identity = process(IdentityOptions(waiting=10))
    flood = asyncio.gather(
        *(
            identity.password("ann", f"guess {at}", f"10.0.{at // 250}.{at % 250}")
            for at in range(500)
        )
    )
    worst, last = 0.0, time.monotonic()
    while not flood.done():
        await asyncio.sleep(0.001)
        worst, last = max(worst, time.monotonic() - last), time.monotonic()
    told = [why(result) for result in flood.result()]
    assert told.count("busy") >= 480
    assert worst < 1.0, "the loop waited for logins"


async def test_a_client_with_many_sessions_pays_for_one_check(
    registry: Registry, process: Process
) -> None:
    password = await add(registry, "ann")
    identity = process(IdentityOptions(waiting=0))
    many = await asyncio.gather(*(identity.password("ann", password, ANYWHERE) for _ in range(200)))
    assert {why(result) for result in many} == {""}
    again = [identity.password("ann", password, f"10.0.0.{at}") for at in range(200)]
    assert {why(result) for result in await asyncio.gather(*again)} == {""}


async def test_without_a_store_nobody_gets_in_and_everybody_may_try_again(
    registry: Registry, process: Process, client: StoreClient
) -> None:
    password = await add(registry, "ann")
    identity = process(NO_CACHE)
    await client.close()
    refusal = await identity.password("ann", password, ANYWHERE)
    assert isinstance(refusal, Refusal)
    assert (refusal.why, refusal.reply.code) == ("store", 454)


async def test_quotas_hold_for_all_processes_together(registry: Registry, process: Process) -> None:
    password = await add(registry, "ann", quotas=Quotas(messages_day=70, recipients_day=1000))
    processes = [process(NO_CACHE) for _ in range(4)]
    ann = await processes[0].password("ann", password, ANYWHERE)
    assert isinstance(ann, Principal)
    asked = [processes[at % 4].spend(ann, 2) for at in range(400)]
    refusals = [refusal for answer in asked if (refusal := await answer) is not None]
    assert len(refusals) == 330
    assert {(no.why, no.quota, no.reply.code) for no in refusals} == {
        ("quota", "messages_day", 450)
    }
    assert all(0 < no.again_s <= 86_400 for no in refusals)
    free = structs.replace(ann, quotas=Quotas())
    assert [await processes[0].spend(free, 5) for _ in range(3)] == [None] * 3


async def test_all_that_is_wrong_with_a_credential_is_told_at_once(registry: Registry) -> None:
    with pytest.raises(BadCredential) as told:
        await registry.add(
            "user",
            "a b",
            Terms(
                tenant="a|b",
                senders=("no domain",),
                networks=("10.0.0.1/8",),
                scopes=("fly",),
                quotas=Quotas(messages_day=-1),
                note="a\nb",
            ),
            by="test",
            password="short",
        )
    named = [problem.partition(":")[0] for problem in told.value.problems]
    assert sorted(named) == [
        "name",
        "networks",
        "note",
        "password",
        "quotas",
        "scopes",
        "senders",
        "tenant",
    ]
    with pytest.raises(BadCredential, match="senders"):
        await registry.add("token", "app", Terms(), by="test")


async def test_the_audit_tells_who_did_what_and_no_secret(
    registry: Registry, client: StoreClient
) -> None:
    password = await add(registry, "ann")
    await registry.change("user", "ann", Terms(disabled=True), by="cli:ops")
    await registry.rotate("user", "ann", overlap_s=0, by="token:ci")
    await registry.remove("user", "ann", by="cli:ops\nforged")
    changes = await registry.changes()
    assert [(one.fields["action"], one.fields["by"]) for one in changes[1:]] == [
        ("rotated", "token:ci"),
        ("changed", "cli:ops"),
        ("added", "test"),
    ]
    assert changes[0].fields["by"].isprintable()
    assert changes[2].fields["changes"] == '{"disabled":[false,true]}'
    told = str([one.fields for one in changes])
    assert password not in told
    assert "argon2" not in told
