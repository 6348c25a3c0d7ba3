import asyncio
from collections.abc import Sequence

import pytest
from msgspec import structs

from relay import metrics
from relay.errors import NewerRecord, StoreUnavailable, SubmissionRefused
from relay.feedback.outbox import Complaint, EventEntry, FinalOutcome
from relay.feedback.projector import Projector, ProjectorOptions
from relay.feedback.report import DsnOptions, dsn_id, reported, submission
from relay.mail.delivery import Delivery, Record, Result
from relay.mail.dsn import Action
from relay.mail.envelope import Envelope, Recipient
from relay.mail.ids import is_message_id, partition_of
from relay.mail.reply import Reply
from relay.store.codec import Ended
from tests.feedback.memory import Crash, Memory
from tests.support.counted import Counted
from tests.support.reception import until

AT = 1_790_000_000_000
CONTENT = b"Message-ID: <1@s.example>\r\nSubject: hello\r\n\r\nbody\r\n"
OPTIONS = DsnOptions(host="relay.example")
BOUNCED = Result("b@d.example", "bounced", 550, "5.1.1", "who?")


def outcome(
    number: int = 0,
    *results: Result,
    fence: int = 1,
    sender: str = "a@s.example",
    notify: str = "",
    content: bytes = CONTENT,
) -> FinalOutcome:
    listed = results or (BOUNCED,)
    return FinalOutcome(
        delivery_id=f"01m5qrs{number:013d}.0",
        fence=fence,
        at_ms=AT,
        record=Record(1, AT - 60_000, sender, len(content), 1),
        recipients=tuple(Recipient(result.recipient, notify=notify) for result in listed),
        results=listed,
        host="mx.d.example",
        content=content,
    )


def projector(memory: Memory, holder: str = "one", window: int = 2, count: int = 500) -> Projector:
    return Projector(
        memory,
        memory,
        holder,
        OPTIONS,
        ProjectorOptions(window=window, count=count),
        clock=lambda: memory.now,
    )


async def test_each_settle_that_made_recipients_final_has_one_dsn_listing_exactly_those() -> None:
    memory = Memory()
    late = Result("late@d.example", "deferred", 451, "4.7.1", "greylisted")
    gone = Result("gone@d.example", "bounced", 550, "5.1.1", "who?")
    fine = Result("fine@d.example", "delivered", 250, "2.0.0", "ok")
    old = Result("late@d.example", "expired", 451, "4.7.1", "greylisted")
    first = outcome(1, late, gone, fine, fence=1)
    last = outcome(1, old, fence=2)
    memory.add(("B", first))
    memory.add(("X", last))
    assert await projector(memory).step() == 2
    assert list(memory.admitted) == [
        dsn_id(first.delivery_id, 1, AT),
        dsn_id(first.delivery_id, 2, AT),
    ]
    about_first, about_last = (b"".join(dsn.content) for dsn in memory.admitted.values())
    assert about_first.count(b"Final-Recipient:") == about_last.count(b"Final-Recipient:") == 1
    assert (
        b"Final-Recipient: rfc822; gone@d.example\r\nAction: failed\r\nStatus: 5.1.1" in about_first
    )
    assert (
        b"Final-Recipient: rfc822; late@d.example\r\nAction: failed\r\nStatus: 4.4.7" in about_last
    )
    assert b"Last-Attempt-Date:" in about_first
    assert b"Last-Attempt-Date:" not in about_last
    assert memory.claims == set()
    assert await projector(memory).step() == 0


async def test_a_dsn_goes_from_the_null_sender_to_the_sender_and_asks_for_no_report() -> None:
    memory = Memory()
    memory.add(("B", outcome()))
    await projector(memory).step()
    [dsn] = memory.submissions
    assert dsn.envelope == Envelope("", (Recipient("a@s.example", notify="NEVER"),))
    assert dsn.origin == "dsn"
    assert dsn.id == dsn.idempotency_key == dsn.fingerprint
    assert is_message_id(dsn.id)


async def test_events_that_call_for_no_dsn_are_skipped_by_their_kind() -> None:
    memory = Memory()
    for number in range(300):
        memory.add(("d", outcome(number)))
    assert await projector(memory).step() == 300
    assert memory.read_outcomes == 0
    assert memory.submissions == []
    assert memory.cursor == memory.events[-1].stream_id


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(outcome(sender=""), id="about a DSN"),
        pytest.param(outcome(notify="NEVER"), id="not wanted"),
        pytest.param(outcome(0, Result("b@d.example", "delivered", 250, "", "")), id="delivered"),
        pytest.param(outcome(0, Result("b@d.example", "cancelled", 0, "", "")), id="cancelled"),
        pytest.param(outcome(sender="nobody"), id="a sender that is no address"),
    ],
)
async def test_there_is_no_dsn_about(left: FinalOutcome) -> None:
    memory = Memory()
    memory.add(("B", left))
    assert await projector(memory).step() == 1
    assert memory.submissions == []
    assert memory.claims == set()


async def test_where_none_are_sent_there_is_no_dsn_and_each_claim_is_closed() -> None:
    memory = Memory()
    memory.add(("B", outcome(1)), ("d", outcome(2)))
    memory.add(("X", outcome(3)))
    off = Projector(memory, memory, "one", structs.replace(OPTIONS, enabled=False))
    assert await off.step() == 3
    assert memory.submissions == []
    assert memory.claims == set()
    assert memory.cursor == memory.events[-1].stream_id


def given_up(
    memory: Memory, kind: str, fate: str, number: int, *recipients: str, reply: Reply | None = None
) -> None:
    """A delivery that was ended by no attempt."""
    left = outcome(number, *(Result(one, fate, 0, "", "") for one in recipients))
    delivery = Delivery(1, AT - 60_000, 0, 10, "a@s.example", tuple(map(Recipient, recipients)))
    memory.ends[left.delivery_id, left.fence] = Ended(
        fate, left.fence, AT, None, delivery, reply=reply
    )
    memory.add((kind, left))


async def test_each_recipient_that_was_given_up_is_counted_once_whoever_is_told() -> None:
    memory = Memory()
    given_up(memory, "x", "expired", 1, "b@d.example", "c@d.example")
    given_up(memory, "X", "expired", 2, "b@d.example")
    given_up(memory, "c", "cancelled", 3, "b@d.example")
    memory.add(("B", outcome(4)))
    given_up(memory, "r", "bounced", 5, "b@d.example", reply=Reply(550, "5.7.1", "no"))
    bounced = Counted("relay_outcomes_total", outcome="bounced", reply="none")
    expired = Counted("relay_outcomes_total", outcome="expired", reply="none")
    cancelled = Counted("relay_outcomes_total", outcome="cancelled", reply="none")
    for _ in range(3):
        await projector(memory).step()
    assert (expired.more, cancelled.more, bounced.more) == (3, 1, 1)


async def test_each_complaint_is_counted_once_for_its_tenant() -> None:
    memory = Memory()
    complained = [Complaint(n, "acme", f"u{n}@d.example", "abuse", AT) for n in (1, 2)]
    for one in complained:
        memory.complaints_[f"{'01m5qrs':0<20}.0", one.number] = one
        memory.add(("j", outcome(0, fence=one.number)))
    memory.events = [
        structs.replace(entry, delivery_id=f"{'01m5qrs':0<20}.0") for entry in memory.events
    ]
    forgotten = outcome(7, fence=1)
    memory.add(("j", forgotten))
    metrics.TENANTS.show(["acme"])
    before = metrics.TENANTS.of("acme")[metrics.COMPLAINED]
    for _ in range(3):
        await projector(memory).step()
    assert metrics.TENANTS.of("acme")[metrics.COMPLAINED] == before + 2
    assert memory.cursor == memory.events[-1].stream_id
    metrics.TENANTS.show([])


async def test_what_is_given_up_and_forgotten_already_holds_nothing_up() -> None:
    memory = Memory()
    memory.add(("x", outcome(1)))
    expired = Counted("relay_outcomes_total", outcome="expired", reply="none")
    assert await projector(memory).step() == 1
    assert expired.more == 0


async def test_the_lag_is_the_age_of_what_is_not_applied_yet() -> None:
    memory = Memory()
    one = projector(memory)
    assert one.lag == 0
    memory.add(("d", outcome(1)))
    await one.step()
    assert one.lag > 365 * 24 * 3600, "the events here are as old as Unix"
    await one.step()
    assert one.lag == 0


def test_a_delivery_is_reported_as_relayed_where_success_was_asked_for() -> None:
    delivered = outcome(0, Result("b@d.example", "delivered", 250, "2.0.0", "ok"), notify="SUCCESS")
    [recipient] = reported(delivered)
    assert (recipient.action, recipient.status) == (Action.RELAYED, "2.0.0")


def test_of_what_a_host_that_knows_dsn_took_nobody_else_reports() -> None:
    both = outcome(0, Result("x@d.example", "delivered", 250, "2.0.0", "ok"), BOUNCED)
    both = structs.replace(
        both,
        recipients=tuple(structs.replace(one, notify="SUCCESS,FAILURE") for one in both.recipients),
        passed_on=True,
    )
    assert [one.address for one in reported(both)] == [BOUNCED.recipient]


def test_the_id_of_a_dsn_lies_in_the_messages_partition_and_tells_settles_apart() -> None:
    delivery = "01m5qrs0005000000000.3"
    ids = {dsn_id(delivery, fence, AT) for fence in range(100)}
    ids |= {dsn_id("01m5qrs0005000000000.4", fence, AT) for fence in range(100)}
    assert len(ids) == 200
    assert {partition_of(id_) for id_ in ids} == {partition_of(delivery)} == {5}
    assert dsn_id(delivery, 7, AT) == dsn_id(delivery, 7, AT)


def test_a_dsn_says_in_its_envelope_what_its_content_needs() -> None:
    plain = submission(outcome(), OPTIONS)
    assert plain is not None
    assert not plain.envelope.eight_bit
    assert not plain.envelope.smtputf8
    beyond = submission(outcome(sender="größe@s.example"), OPTIONS)
    assert beyond is not None
    assert beyond.envelope.eight_bit
    assert beyond.envelope.smtputf8


def a_mixed_day() -> tuple[Memory, set[str]]:
    """Seven events in five stream entries, four of which call for a DSN; and the ids of these."""
    memory = Memory()
    memory.add(("d", outcome(1)), ("B", outcome(2)))
    memory.add(("f", outcome(3)))
    memory.add(("B", outcome(4)), ("B", outcome(5, sender="")))
    memory.add(("X", outcome(3, Result("b@d.example", "expired", 0, "", "no answer"), fence=9)))
    memory.add(("B", outcome(6)))
    told = ((2, 1), (4, 1), (3, 9), (6, 1))
    return memory, {dsn_id(outcome(number).delivery_id, fence, AT) for number, fence in told}


async def through(memory: Memory) -> None:
    """Let a fresh projector, for whom the dead one's role has expired, do what is left."""
    memory.now += 60
    fresh = projector(memory, holder=f"after {memory.now}")
    while await fresh.step():
        pass


async def test_wherever_it_dies_there_is_one_dsn_a_settle() -> None:
    crashes = 0
    while True:
        memory, expected = a_mixed_day()
        memory.fuse = crashes
        try:
            while await projector(memory).step():
                pass
            break
        except Crash:
            crashes += 1
        memory.fuse = -1
        await through(memory)
        assert set(memory.admitted) == expected
        assert len({dsn.content for dsn in memory.submissions}) == len(expected)
        assert memory.claims == set()
        assert memory.cursor == memory.events[-1].stream_id
    # Before and after each of its steps, or the test has missed some.
    assert crashes > 20


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_a_projector_paused_while_another_takes_over_makes_no_second_dsn(steps: int) -> None:
    memory, expected = a_mixed_day()
    paused = asyncio.create_task(projector(memory, holder="paused").step())
    for _ in range(steps):
        await asyncio.sleep(0)
    await through(memory)
    cursor = memory.cursor
    await paused
    assert set(memory.admitted) == expected
    assert memory.cursor == cursor


async def test_after_a_pause_beyond_its_role_it_does_not_act_on_what_it_read() -> None:
    memory = Memory()
    memory.add(("B", outcome()))

    class Pausing(Memory):
        async def outcomes(self, *args: object) -> Sequence[FinalOutcome | None]:
            memory.now += 31
            return [outcome()]

    pausing = Pausing()
    pausing.events = memory.events
    slow = Projector(pausing, memory, "slow", OPTIONS, clock=lambda: memory.now)
    assert await slow.step() == 0
    assert memory.submissions == []
    assert pausing.cursor == ""


async def test_only_the_holder_of_the_role_projects() -> None:
    memory, _ = a_mixed_day()
    assert await memory.hold_role("dsn", "another", 30_000)
    assert await projector(memory).step() == 0
    assert memory.submissions == []
    memory.now += 31
    assert await projector(memory).step() == 7


async def test_the_role_is_renewed_before_dsns_and_at_half_of_its_time() -> None:
    class Asked(Memory):
        asked = 0

        async def hold_role(self, consumer: str, holder: str, ttl_ms: int) -> bool:
            self.asked += 1
            return await super().hold_role(consumer, holder, ttl_ms)

    memory = Asked()
    one = projector(memory)
    for _ in range(15):
        assert await one.step() == 0
        memory.now += 1
    assert memory.asked == 1
    assert await one.step() == 0
    assert memory.asked == 2
    memory.add(("B", outcome()))
    assert await one.step() == 1
    assert memory.asked == 3


async def test_a_role_that_was_given_up_is_not_held_any_more() -> None:
    memory = Memory()
    one = projector(memory)
    assert await one.step() == 0
    await one._give_up_role()
    assert await memory.hold_role("dsn", "another", 30_000)
    memory.add(("d", outcome()))
    assert await one.step() == 0
    assert memory.cursor == ""


async def test_a_queue_that_is_full_makes_dsns_wait_and_none_is_skipped() -> None:
    memory = Memory()
    memory.add(("B", outcome(1)), ("B", outcome(2, sender="x@s.example")))
    memory.refusals["x@s.example"] = Reply(452, "4.3.1", "full")
    with pytest.raises(SubmissionRefused):
        await projector(memory).step()
    assert memory.cursor == ""
    assert memory.claims == {(outcome(2).delivery_id, 1)}
    memory.refusals.clear()
    assert await projector(memory).step() == 2
    assert len(memory.submissions) == len(memory.admitted) == 2
    assert memory.claims == set()


async def test_a_dsn_that_is_refused_for_good_does_not_hold_up_the_others() -> None:
    memory = Memory()
    memory.add(("B", outcome(1, sender="x@s.example")), ("B", outcome(2)))
    memory.refusals["x@s.example"] = Reply(550, "5.1.8", "no such domain")
    assert await projector(memory).step() == 2
    assert len(memory.admitted) == 1
    assert memory.claims == set()


class Flaky(Memory):
    """A store that is away for the first readings."""

    away = 2

    async def read(self, consumer: str, count: int) -> Sequence[EventEntry]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable
        return await super().read(consumer, count)


async def test_run_goes_on_after_the_store_was_away_and_gives_up_its_role_at_the_end() -> None:
    memory = Flaky()
    memory.add(("B", outcome()))
    options = ProjectorOptions(poll=0.001, longest_pause=0.01)
    stopping = asyncio.Event()
    running = asyncio.create_task(Projector(memory, memory, "one", OPTIONS, options).run(stopping))
    async with asyncio.timeout(10):
        await memory.advanced.wait()
        stopping.set()
        await running
    assert len(memory.admitted) == 1
    assert memory.role == ("", 0.0)


async def test_a_message_over_which_making_the_dsn_fails_does_not_hold_up_the_others() -> None:
    memory = Memory()
    broken = structs.replace(outcome(1), at_ms=10**30)
    memory.add(("B", broken), ("B", outcome(2)))
    assert await projector(memory).step() == 2
    assert len(memory.admitted) == 1


class NewerMemory(Memory):
    """Its outcomes are of a newer version."""

    async def outcomes(
        self, entries: Sequence[EventEntry], octets: int
    ) -> Sequence[FinalOutcome | None]:
        raise NewerRecord("a delivery was written as version 2, this Relay reads up to 1")


async def test_what_a_newer_version_wrote_is_left_to_its_projector() -> None:
    memory, newer = NewerMemory(), Counted("relay_records_unreadable_total", reason="newer")
    memory.add(("B", outcome()))
    stopping = asyncio.Event()
    running = asyncio.create_task(projector(memory).run(stopping))
    await until(lambda: newer.more == 1 and memory.role[0] == "")
    # The role is free for a process that can read it, and nothing was passed over.
    assert memory.cursor == ""
    assert memory.claims
    stopping.set()
    await running
