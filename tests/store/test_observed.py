"""How calls go is counted under names that are bounded."""

from __future__ import annotations

import pytest

from relay.errors import StoreUnavailable
from relay.store import observed
from relay.store.address import Address
from relay.store.client import ClientOptions, StoreClient
from relay.store.script import Script
from relay.store.wire import ConnectionLost, NoAnswer, ReplyError
from tests.support.counted import Counted

NOTHING = Script("settle", "return 'nothing'")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoAnswer("no answer within 15 s"), "timeout"),
        (ConnectionLost("closed"), "connection"),
        (ReplyError("OOM command not allowed"), "full"),
        (ReplyError("MOVED 1 127.0.0.1:1"), "moved"),
        (ReplyError("READONLY a replica"), "moved"),
        (ReplyError("LOADING the dataset"), "reply"),
        (ReplyError("ARGUMENTS settle: too few"), "reply"),
        (StoreUnavailable("too much in flight"), "other"),
    ],
    ids=str,
)
def test_a_failure_has_a_reason(error: Exception, reason: str) -> None:
    count = Counted("relay_store_failures_total", reason=reason)
    observed.failed(error)
    assert count.more == 1


@pytest.mark.parametrize(
    ("name", "call"), [("admit", "admit"), ("HMGET", "command"), ("resume", "other")]
)
def test_a_call_is_known_by_its_script_or_as_a_command(name: str, call: str) -> None:
    count = Counted("relay_store_seconds_count", call=call)
    observed.answered(name, 0.001, 0)
    assert count.more == 1


async def test_a_client_tells_of_answers_and_not_that_a_script_was_new(client: StoreClient) -> None:
    settles = Counted("relay_store_seconds_count", call="settle")
    failures = Counted("relay_store_failures_total", reason="reply")
    assert await client.call(NOTHING, ["relay:{p00}:nothing"]) == b"nothing"
    assert (settles.more, failures.more) == (1, 0)


async def test_a_store_that_is_away_fails_long_before_calls_are_given_up() -> None:
    connection = Counted("relay_store_failures_total", reason="connection")
    timeout = Counted("relay_store_failures_total", reason="timeout")
    nowhere = StoreClient(Address.parse("redis://127.0.0.1:1"), ClientOptions(patience=0.3))
    with pytest.raises(StoreUnavailable):
        await nowhere.read("TIME")
    await nowhere.close()
    assert connection.more > 1
    assert timeout.more == 1
