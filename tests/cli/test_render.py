"""What people and machines see of messages and queues."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import RenderableType

from relay.cli import output, render
from relay.console.views import (
    AttemptView,
    CancelView,
    MessageView,
    QueuesView,
    QueueView,
    RecipientState,
    RecipientView,
)
from tests.support.printed import printed

NOW = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
GREYLISTED = AttemptView(
    host="mx1.slow.example",
    address="192.0.2.7",
    tls="TLSv1.3",
    at=NOW - timedelta(minutes=5),
    took_ms=230,
    code=451,
    enhanced="4.7.1",
    text="Greylisted [see mail.slow.example]",
)
MESSAGE = MessageView(
    id="1m84m0ehk0095p2djv4r",
    sender="ann@weaver.example",
    size=4096,
    accepted_at=NOW - timedelta(minutes=6),
    tenant="shop",
    priority="high",
    recipients=(
        RecipientView(
            "bob@slow.example",
            RecipientState.DEFERRED,
            (GREYLISTED,),
            NOW + timedelta(minutes=2),
            "451 4.7.1 Greylisted [see mail.slow.example]",
        ),
        RecipientView("eve@new.example", RecipientState.QUEUED),
    ),
    possible_doubles=1,
)
QUEUES = QueuesView(
    queues=(
        QueueView(
            "slow.example",
            waiting=12,
            leased=2,
            deferred=3456,
            held=0,
            oldest_age_s=7260.5,
            next_attempt_at=NOW + timedelta(seconds=30),
            last_reply="451 4.7.1 Greylisted",
        ),
        QueueView("dead.example", 5, 0, 0, 1, 86400.0, parked_until=NOW + timedelta(minutes=15)),
    ),
    domains=3,
    waiting=18,
    leased=2,
    deferred=3456,
    held=1,
)


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "clock", lambda at, now: f"{at:%H:%M:%S}")


def shown(view: RenderableType, width: int = 140) -> list[str]:
    return [line.rstrip() for line in printed(view, width).splitlines()]


def test_a_message_shows_each_recipient_and_its_attempts() -> None:
    text = shown(render.message(MESSAGE, NOW))
    assert text[:7] == [
        "message   1m84m0ehk0095p2djv4r",
        "sender    ann@weaver.example",
        "accepted  15:54:00, 6 m ago",
        "size      4.0 KiB",
        "tenant    shop",
        "priority  high",
        "doubles   1 possible: the outcome of an attempt was lost",
    ]
    assert "bob@slow.example  deferred, next attempt 16:02:00 (in 2 m)" in text
    assert "eve@new.example  queued" in text
    [attempt] = [line for line in text if "230 ms" in line]
    assert "mx1.slow.example [192.0.2.7]" in attempt
    assert attempt.endswith("TLSv1.3   451 4.7.1 Greylisted [see mail.slow.example]")


def test_a_dsn_has_no_sender() -> None:
    view = MessageView("x", "", 812, NOW, "", "normal", ())
    assert shown(render.message(view, NOW))[1:] == [
        "sender    <> (a DSN)",
        "accepted  16:00:00, 0 s ago",
        "size      812 B",
    ]


def test_the_queue_shows_a_row_for_each_domain_and_the_sum_of_all() -> None:
    text = [line.split("  ") for line in shown(render.queues(QUEUES, NOW))]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in text]
    assert rows[2] == [
        *("slow.example", "12", "2", "3456", "-", "2 h"),
        *("16:00:30 (in 30 s)", "451 4.7.1 Greylisted"),
    ]
    assert rows[3] == [
        *("dead.example", "5", "-", "-", "1", "1 d", "parked, 16:15:00 (in 15 m)", "-"),
    ]
    assert rows[-1] == ["2 of 3 domains: 18 waiting, 2 leased, 3456 deferred, 1 held"]


def test_an_empty_queue_says_so() -> None:
    assert shown(render.queues(QueuesView((), 0, 0, 0, 0, 0), NOW)) == ["Nothing is queued."]


def test_a_reply_with_markup_in_it_is_shown_as_it_is() -> None:
    hostile = QueueView("x.example", 1, 0, 0, 0, 1.0, last_reply="550 [red]no[/red] [/]")
    view = QueuesView((hostile,), 1, 1, 0, 0, 0)
    assert any(line.endswith("550 [red]no[/red] [/]") for line in shown(render.queues(view, NOW)))


def test_cancelling_tells_what_may_still_be_sent() -> None:
    text = shown(
        render.cancelled(
            [
                CancelView("m.0", "a.example", "cancelled"),
                CancelView("m.1", "b.example", "pending"),
                CancelView("m.2", "c.example", "final"),
            ]
        )
    )
    assert [line.split(maxsplit=2)[2] for line in text if line.startswith("m.")] == [
        "cancelled",
        "pending: an attempt is under way, so it may still be sent",
        "too late: it has its outcome",
    ]


def test_json_keeps_the_documented_names(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(MESSAGE)
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("id", "sender", "size", "accepted_at", "tenant", "priority", "recipients"),
        *("possible_doubles", "tags", "metadata", "complaints"),
    ]
    deferred = found["recipients"][0]
    assert list(deferred) == ["address", "state", "attempts", "next_attempt_at", "last_reply"]
    assert deferred["state"] == "deferred"
    assert deferred["next_attempt_at"] == "2026-11-23T16:02:00Z"
    assert list(deferred["attempts"][0]) == [
        *("host", "address", "tls", "at", "took_ms", "code", "enhanced", "text", "verified"),
    ]
    output.print_json(QUEUES)
    queues = json.loads(capsys.readouterr().out)
    totals = ["domains", "waiting", "leased", "deferred", "held", "partial", "unreadable"]
    assert list(queues) == ["queues", *totals]
    assert list(queues["queues"][0]) == [
        *("domain", "waiting", "leased", "deferred", "held", "oldest_age_s"),
        *("next_attempt_at", "last_reply", "parked_until"),
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 m"), (7199, "1 h"), (86400 * 3, "3 d"), (-5, "0 s")],
)
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert render.age(seconds) == text
