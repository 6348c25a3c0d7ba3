"""Judging an attempt: what is recorded, and whether the sender is to be told."""

from __future__ import annotations

import pytest

from relay.delivery.judge import Circumstances, judge
from relay.mail.delivery import Delivery
from relay.mail.envelope import Recipient
from relay.mail.outcome import Bounced, Delivered, Outcome, Scope
from relay.mail.reply import Reply
from relay.store.codec import Flag, decode_attempt
from relay.store.leasing import Lease

TAKEN = Delivered(Reply(250, "2.0.0", "ok"))
REFUSED = Bounced(Reply(550, "5.1.1", "who?"), Scope.RECIPIENT)


def lease(*notify: str) -> Lease:
    recipients = tuple(Recipient(f"r{n}@d.example", asked) for n, asked in enumerate(notify))
    delivery = Delivery(1, 1_800_000_000_000, 0, 100, "a@s.example", recipients)
    return Lease(0, "01m5qrs0000000000000.0", 1, Flag(0), 0, "d.example", delivery)


@pytest.mark.parametrize(
    ("notify", "outcomes", "dsn", "event"),
    [
        (("SUCCESS",), [TAKEN], False, "D"),
        (("SUCCESS",), [TAKEN], True, "d"),
        (("",), [TAKEN], False, "d"),
        (("SUCCESS,FAILURE", ""), [TAKEN, REFUSED], True, "B"),
        (("SUCCESS", "NEVER"), [TAKEN, REFUSED], True, "b"),
    ],
)
def test_a_host_that_knows_dsn_reports_what_it_took_itself(
    notify: tuple[str, ...], outcomes: list[Outcome], dsn: bool, event: str
) -> None:
    where = Circumstances(at_ms=1_800_000_001_000, took_ms=5, host="mx.d.example", dsn=dsn)
    settlement = judge(lease(*notify), outcomes, where, wait_ms=1000)
    assert settlement.event == event
    assert decode_attempt(settlement.attempt).dsn is dsn
