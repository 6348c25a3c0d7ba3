"""The index: what is found by recipient and tag, on its way and afterwards, while it is known."""

from __future__ import annotations

import itertools

import pytest

from relay.mail.delivery import Delivery
from relay.mail.envelope import Envelope, Recipient
from relay.store.admission import MOST_TERMS, Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.codec import encode_delivery
from relay.store.finding import Final, Finding
from relay.store.forgetting import Forgetting
from relay.store.index import NOTHING, Index, index_of, term
from relay.store.listing import Listed, Wanted, Where
from relay.store.parcel import Packer, Unpacker
from relay.store.walk import Walk
from relay.submission import Submission, Submitter
from tests.support.queue import MINUTE, QueueStore, attempt

BOTH = Index(recipients=True, tags=True)
BOB = "Bob@a.example"


class Desk:
    """Submits with an index, and finds."""

    def __init__(self, client: StoreClient, index: Index = BOTH) -> None:
        self._client = client
        admission = Admission(client, 1, AdmissionOptions(index=index))
        self._submitter = Submitter(admission, 1, lambda _: None)
        self.finding = Finding(client, 1)

    async def submit(
        self,
        *recipients: str,
        tenant: str = "",
        tags: tuple[str, ...] = (),
        require_tls: bool = False,
    ) -> str:
        to = tuple(map(Recipient, recipients or (BOB,)))
        accepted = await self._submitter.submit(
            Submission(
                id=self._submitter.new_id(),
                envelope=Envelope("s@s.example", to, require_tls=require_tls),
                content=(b"Subject: x\r\n\r\nhi\r\n",),
                tenant=tenant,
                tags=tags,
            )
        )
        return accepted.id

    async def every(self, wanted: Wanted, limit: int = 3) -> list[Listed | Final]:
        """What all pages have."""
        cursor, items = "", list[Listed | Final]()
        for _ in range(1000):
            page = await self.finding.page(wanted, cursor, limit)
            assert len(page.items) <= limit
            items += page.items
            cursor = page.cursor
            if not cursor:
                return items
        raise AssertionError("the pages do not end")

    async def ids(self, wanted: Wanted) -> list[str]:
        return [item.id for item in await self.every(wanted)]

    async def size(self) -> int:
        return int(await self._client.read("ZCARD", "relay:{p00}:index"))


@pytest.fixture
def desk(client: StoreClient) -> Desk:
    return Desk(client)


async def test_a_recipient_is_found_in_any_case_and_by_nothing_else(desk: Desk) -> None:
    messages = [await desk.submit(f"x{n}@a.example", BOB) for n in range(8)]
    await desk.submit("bobby@a.example")
    for sought in (BOB, "bob@A.example"):
        found = await desk.ids(Wanted(recipient=sought))
        assert sorted(found) == sorted(f"{one}.0" for one in messages)
    assert await desk.ids(Wanted(recipient="nobody@a.example")) == []
    assert await desk.ids(Wanted(tag=BOB)) == []


async def test_a_tag_finds_every_delivery_of_its_messages(desk: Desk) -> None:
    message = await desk.submit("u@a.example", "v@a.example", "u@b.example", tags=("Spring", "x"))
    await desk.submit(tags=("springtime",))
    assert await desk.ids(Wanted(tag="spring")) == [f"{message}.0", f"{message}.1"]
    assert await desk.ids(Wanted(tag="spring", domain="b.example")) == [f"{message}.1"]


async def test_mail_that_waits_apart_for_what_it_needs_is_found_by_its_domain(desk: Desk) -> None:
    message = await desk.submit("u@b.example", tags=("spring",), require_tls=True)
    assert await desk.ids(Wanted(tag="spring", domain="b.example")) == [f"{message}.0"]


async def test_a_tenant_finds_its_own_and_who_has_none_all(desk: Desk) -> None:
    ours = [await desk.submit(tenant="ours") for _ in range(4)]
    others = [await desk.submit(tenant=name) for name in ("our", "ourself", "", "zz")]
    for message in others:
        assert message + ".0" not in await desk.ids(Wanted(recipient=BOB, tenant="ours"))
    own = await desk.ids(Wanted(recipient=BOB, tenant="ours"))
    assert sorted(own) == sorted(f"{one}.0" for one in ours)
    everything = await desk.ids(Wanted(recipient=BOB))
    assert sorted(everything) == sorted(f"{one}.0" for one in (*ours, *others))
    # Another's position leads to nothing of his.
    page = await desk.finding.page(Wanted(recipient=BOB, tenant="zz"), "", 1)
    assert page.cursor
    again = await desk.finding.page(Wanted(recipient=BOB, tenant="ours"), page.cursor, 10)
    assert again.items == ()


async def test_what_is_final_is_found_as_that_and_told_for_whom(
    desk: Desk, queue: QueueStore
) -> None:
    both = (BOB, "u@a.example")
    done, stopped, waits = [f"{await desk.submit(*both)}.0" for _ in range(3)]
    for lease in await queue.lease():
        if lease.id == done:
            await queue.settle(lease, outcome=attempt(recipient=BOB))
        else:
            await queue.release(lease)
    await queue.cancel(stopped)
    found = {one.id: one for one in await desk.every(Wanted(recipient=BOB))}
    assert {name: type(one) for name, one in found.items()} == {
        done: Final,
        stopped: Final,
        waits: Listed,
    }
    over = await desk.every(Wanted(recipient=BOB, where=Where.FINAL))
    told = {one.id: (one.recipients, one.domain) for one in over if isinstance(one, Final)}
    assert told == {done: ((BOB,), "a.example"), stopped: (both, "a.example")}
    assert await desk.ids(Wanted(recipient=BOB, where=Where.READY)) == [waits]


async def test_a_recipient_whose_outcome_is_there_is_final_though_others_wait(
    desk: Desk, queue: QueueStore
) -> None:
    await desk.submit("u@a.example", "v@a.example")
    [lease] = await queue.lease()
    rest = encode_delivery(Delivery(1, 1, 0, 9, "s@s.example", (Recipient("v@a.example"),)))
    outcome = attempt(recipient="u@a.example")
    await queue.settle(lease, verb="later", slot="", body=rest, event="D", outcome=outcome)
    [delivered] = await desk.every(Wanted(recipient="u@a.example"))
    assert isinstance(delivered, Final)
    assert delivered.recipients == ("u@a.example",)
    [waiting] = await desk.every(Wanted(recipient="v@a.example"))
    assert isinstance(waiting, Listed)
    await queue.cancel(lease.id)


async def test_times_bound_what_is_found(desk: Desk, queue: QueueStore) -> None:
    at = await queue.now()
    message = await desk.submit()
    near = Wanted(recipient=BOB, since_ms=at - MINUTE, until_ms=at + MINUTE)
    assert await desk.ids(near) == [message + ".0"]
    assert await desk.ids(Wanted(recipient=BOB, since_ms=at + MINUTE)) == []
    assert await desk.ids(Wanted(recipient=BOB, until_ms=at - MINUTE)) == []


async def test_a_message_of_many_recipients_is_indexed_in_parts_and_whole(
    desk: Desk, queue: QueueStore
) -> None:
    domains, each = 30, 40
    assert domains * each > 2 * MOST_TERMS
    addresses = [f"u{n}@{d}.example" for d, n in itertools.product(range(domains), range(each))]
    message = await desk.submit(*addresses, tags=("all",))
    assert await desk.size() == domains * (each + 1)
    await queue.promote_all()
    for sought, number in (("u0@0.example", 0), ("u39@29.example", 29)):
        assert await desk.ids(Wanted(recipient=sought)) == [f"{message}.{number}"]
    assert len(await desk.ids(Wanted(tag="all"))) == domains


async def test_members_go_with_their_records_and_no_sooner(
    desk: Desk, queue: QueueStore, client: StoreClient
) -> None:
    forgetting = Forgetting(client, 1, every=1800)
    gone, kept = await desk.submit(tags=("t",)), await desk.submit()
    first, *_ = await queue.lease()
    assert first.message == gone
    await queue.settle(first, retention_ms=1)
    while await client.read("EXISTS", queue.keys.record(gone)):
        pass
    assert await desk.size() == 3
    assert await forgetting.turn() == 2
    assert await desk.size() == 1
    assert await desk.ids(Wanted(recipient=BOB)) == [kept + ".0"]


async def test_of_a_fleet_one_looks_and_a_large_index_takes_many_turns(
    desk: Desk, queue: QueueStore, client: StoreClient
) -> None:
    for _ in range(5):
        await desk.submit(*(f"u{n}@a.example" for n in range(100)))
    # Half of all in a turn.
    ours, others = Forgetting(client, 1, every=900), Forgetting(client, 1, every=900)
    for name in await client.read("KEYS", queue.keys.record("*")):
        await client.read("DEL", name)
    await client.read("DEL", queue.keys.deliveries)
    taken = [await ours.turn(), await others.turn()]
    assert taken == [400, 0]
    await client.read("DEL", queue.keys.forgetting + ":turn")
    assert await others.turn() == 100
    assert await desk.size() == 0
    await client.command("FLUSHALL")


async def test_parts_that_wait_for_the_last_one_are_not_forgotten(
    queue: QueueStore, client: StoreClient
) -> None:
    message = queue.new_id()
    where = term("recipient", "u@a.example")
    word, _ = await queue.admit(message=message, terms=where, total=2, part="staged")
    assert word == "staged"
    assert await Forgetting(client, 1, every=1800).turn() == 0
    assert await Finding(client, 1).page(Wanted(recipient="u@a.example"), "", 5) == (
        await Finding(client, 1).page(Wanted(recipient="x@x.example"), "", 5)
    )
    word, *_ = await queue.admit(message=message, terms=where, total=2, first=1, part="last")
    assert word == "accepted"
    await queue.promote_all()
    page = await Finding(client, 1).page(Wanted(recipient="u@a.example"), "", 5)
    assert [one.id for one in page.items] == [f"{message}.0", f"{message}.1"]


async def test_nothing_is_indexed_where_nothing_is_turned_on(client: StoreClient) -> None:
    off = Desk(client, NOTHING)
    await off.submit(tags=("t",))
    assert await off.size() == 0
    only = Desk(client, index_of(["tags"]))
    await only.submit(tags=("t",))
    assert await only.size() == 1


@pytest.mark.parametrize("cursor", ["x", "1/|", "0/1+1", "0/|abc.0", "9/", "0/t|" + "a" * 20])
async def test_a_cursor_that_no_page_gave_is_refused(desk: Desk, cursor: str) -> None:
    with pytest.raises(ValueError, match="none that a page gave"):
        await desk.finding.page(Wanted(recipient=BOB), cursor, 10)


async def test_what_comes_from_another_store_is_found_in_this_one(
    desk: Desk, queue: QueueStore, client: StoreClient
) -> None:
    message = await desk.submit(BOB, "u@b.example", tags=("t",))
    walked = [one async for portion in Walk(client, 1).of((message,)) for one in portion]
    parcel = await Packer(client, 1, MINUTE).pack(walked, frozenset())
    assert parcel is not None
    await client.command("FLUSHALL")
    assert await Unpacker(client, 1, BOTH).put(parcel, await queue.now())
    assert await desk.ids(Wanted(recipient=BOB)) == [f"{message}.0"]
    assert await desk.ids(Wanted(tag="t")) == [f"{message}.0", f"{message}.1"]
