"""A client that speaks to the store itself needs few rights: docs/python.md has the rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from relay import Message, Relay
from relay.errors import AccessDenied
from tests.support.documents import DOCS
from tests.support.programs import program
from tests.support.valkey import BROKER_OPTIONS, STORE_OPTIONS, ValkeyServer

HELLO = Message(from_="ann@example.com", to=["u@a.example", "v@b.example"], text="Hello.")
_RULE = re.compile(r"^ACL SETUSER (\w+) (.+)$", re.MULTILINE)


def rules() -> dict[str, list[str]]:
    """The rules as the document has them, a password in place of the one to be thought out."""
    text = (DOCS / "python.md").read_text().replace("\\\n", "")
    found = {name: rule.replace("PASSWORD", "secret").split() for name, rule in _RULE.findall(text)}
    assert set(found) == {"producer", "controller", "ringer"}
    return found


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[ValkeyServer, ValkeyServer]]:
    binary = "" if request.param == "valkey" else str(program("redis-server"))
    store = ValkeyServer(binary, **STORE_OPTIONS).start()
    broker = ValkeyServer(binary, **BROKER_OPTIONS).start()
    store.command("HSET", "relay:schema", "partitions", 1, "version", 1, "index", "recipients")
    for name, rule in rules().items():
        (broker if name == "ringer" else store).command("ACL", "SETUSER", name, *rule)
    yield store, broker
    store.remove()
    broker.remove()


def client(servers: tuple[ValkeyServer, ValkeyServer], user: str) -> Relay:
    store, broker = servers
    return Relay(
        f"redis://{user}:secret@127.0.0.1:{store.port}/0",
        broker=f"redis://ringer:secret@127.0.0.1:{broker.port}/0",
        timeout=5,
    )


def denied(server: ValkeyServer) -> list[object]:
    log: list[object] = server.command("ACL", "LOG")
    return log


def test_a_producer_may_submit_and_look(servers: tuple[ValkeyServer, ValkeyServer]) -> None:
    with client(servers, "producer") as relay:
        accepted = relay.submit(HELLO, idempotency_key="k")
        assert relay.submit(HELLO, idempotency_key="k").id == accepted.id
        later = relay.submit(HELLO, tenant="t", text="x" * 1_000_000)
        assert len(relay.status(accepted.id).recipients) == 2
        assert relay.status(later.id).tenant == "t"
        many = [f"u{n}@d{n}.example" for n in range(120)]
        assert relay.submit(HELLO, to=many).id
        assert next(relay.events("0-0")).message == accepted.id
    # A client has no settings: what is to be indexed it takes from the store.
    assert servers[0].command("ZCARD", "relay:{p00}:index") == 124
    assert servers[1].command("LLEN", "relay") > 0
    assert not denied(servers[0])
    assert not denied(servers[1])


def test_a_producer_may_do_nothing_else(servers: tuple[ValkeyServer, ValkeyServer]) -> None:
    store, broker = servers
    with client(servers, "producer") as relay:
        accepted = relay.submit(HELLO)
        with pytest.raises(AccessDenied, match="may not do this"):
            relay.cancel(accepted.id)
    store.command("ACL", "LOG", "RESET")
    refused = [
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("DEL", f"relay:{{p00}}:m:{accepted.id}"),
        ("ZREM", "relay:{p00}:later", "x"),
        ("XTRIM", "relay:{p00}:events", "MAXLEN", "0"),
        ("GET", "another:key"),
        ("SET", "another:key", "x"),
        ("HSET", "relay:schema", "partitions", "2"),
        ("GET", f"relay:{{p00}}:c:{accepted.id}"),
        ("ACL", "WHOAMI"),
    ]
    allowed = [
        words
        for words in refused
        if b"has no permissions" not in store.command("ACL", "DRYRUN", "producer", *words)
    ]
    assert not allowed
    said = broker.command("ACL", "DRYRUN", "ringer", "LRANGE", "relay", 0, -1)
    assert b"has no permissions" in said


def test_a_controller_may_cancel_and_reschedule_as_well(
    servers: tuple[ValkeyServer, ValkeyServer],
) -> None:
    with client(servers, "controller") as relay:
        accepted = relay.submit(HELLO)
        assert {one.answer for one in relay.reschedule(accepted.id)} == {"ready"}
        assert {one.answer for one in relay.cancel(accepted.id)} == {"cancelled"}
        assert relay.wait(accepted.id).final
