"""Stores that older versions of Relay left are read by this one, and go on in it.

Where the version of the records is raised, the sample of the version before stays, and one of the
new version comes beside it (tests/support/samples.py).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from fnmatch import fnmatchcase
from typing import Any

import pytest

from relay.errors import DamagedRecord, NewerRecord, UnreadableRecord
from relay.policy.credential import Kind, Quotas
from relay.store import identity_keys, keys, path_keys
from relay.store.client import StoreClient
from relay.store.codec import (
    NEEDFUL,
    VERSION,
    Flag,
    Place,
    decode_attempt,
    decode_delivery,
    decode_outcome,
    decode_record,
    decode_stored,
)
from relay.store.complaints import Complaint, Complaints
from relay.store.finding import Final, Finding
from relay.store.identity import IdentityStore
from relay.store.index import Index
from relay.store.listing import Listed, Wanted
from relay.store.outbox import Outbox
from relay.store.paths import PathOptions, Paths
from relay.store.schema import misfits, noted_index
from relay.store.status import Status
from relay.store.sts_shelf import StsShelf
from tests.support.consistency import assert_consistent
from tests.support.counted import Counted
from tests.support.forms import FAR, REPLY
from tests.support.paths import PATH, Worker
from tests.support.queue import New, QueueStore, attempt
from tests.support.samples import SAMPLES, restore
from tests.support.stored import Held

_STORES = {path.stem: json.loads(path.read_text()) for path in sorted(SAMPLES.glob("v*.json"))}
#: Those that have what came with version 2, and the forms of before that v1 has not.
_LATER = {name: store for name, store in _STORES.items() if name != "v1"}


class Sample(QueueStore):
    """A queue as an older version left it; `made` has the ids of its messages by name."""

    made: dict[str, str]


@pytest.fixture(params=list(_STORES.values()), ids=list(_STORES))
async def sample(client: StoreClient, request: pytest.FixtureRequest) -> Sample:
    return await _restored(client, request.param)


@pytest.fixture(params=list(_LATER.values()), ids=list(_LATER))
async def later(client: StoreClient, request: pytest.FixtureRequest) -> Sample:
    return await _restored(client, request.param)


async def _restored(client: StoreClient, read: dict[str, Any]) -> Sample:
    await restore(client, read["keys"])
    sample = Sample(client)
    sample.made = read["messages"]
    # Ids made from here on are none of its own.
    sample._made = 1000
    sample._chunks[sample.made["chunked"]] = 2
    # Nobody looked at its leases since.
    await sample.look(await sample.now(), 0)
    return sample


def test_there_is_a_sample_of_every_version() -> None:
    versions = {int(re.sub(r"v(\d+).*", r"\1", name)) for name in _STORES}
    assert versions == set(range(1, max(VERSION, NEEDFUL) + 1))


def _rows(document: str, prefix: str) -> set[str]:
    """The names of a table's keys, as patterns of whole names."""
    found = set()
    for row in re.findall(r"^\| (`[^|]+`(?:, `[^|]+`)*) \| (?!type)", document, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", row):
            full = name if name.startswith("relay:") else prefix + name
            found.add(re.sub(r"<\w+>", "*", full))
    return found


def test_every_form_is_in_some_sample() -> None:
    """What the tables of keys name, and the fields of a record: whoever adds one adds a sample."""
    stored = [one for store in _STORES.values() for one in store["keys"]]
    names = {one["key"].replace("{s:|mx.example}", "{s:path}") for one in stored}
    wanted = {keys.SCHEMA, keys.sts_policy("*")}
    wanted |= _rows(keys.__doc__ or "", "relay:{p00}:")
    wanted |= _rows(path_keys.__doc__ or "", "relay:{s:path}:")
    wanted |= _rows(identity_keys.__doc__ or "", "")
    assert len(wanted) > 40
    missing = {form for form in wanted if not any(fnmatchcase(name, form) for name in names)}
    assert not missing
    records = [one["value"][::2] for one in stored if one["key"].startswith("relay:{p00}:m:")]
    fields = {b64decode(field).decode() for record in records for field in record}
    assert not {form for form in _fields() if not any(map(re.compile(form).fullmatch, fields))}


def _fields() -> set[str]:
    """The fields of a record, as expressions."""
    _, _, told = (keys.__doc__ or "").partition("Fields of a record: ")
    listed = re.findall(r"`([a-z](?:<n>)?(?:\.<\w+>)*)`", told.partition("\n\n")[0])
    assert {"m", "f<n>.<fence>", "l<n>.<fence>.<holder>"} <= set(listed)
    return {re.sub(r"<\w+>", r"\\w+", form.replace(".", r"\.")) for form in listed}


async def test_it_is_whole(sample: Sample) -> None:
    await assert_consistent(sample.client)
    assert not await misfits(sample.client, 1)


_PLACES = {
    "ready": [Place.READY], "later": [Place.LATER], "held": [Place.HELD],
    "keyed": [Place.READY], "aside": [Place.READY], "delivered": [], "bounced": [],
    "deferred": [Place.LATER], "cancelled": [], "leased": [Place.LEASED], "expired": [],
    "chunked": [Place.READY], "secret": [Place.READY], "lax": [Place.READY],
    "timely": [Place.READY], "waited": [Place.READY], "late": [Place.READY], "returned": [],
    "asked": [Place.LEASED], "alone": [Place.LEASED], "doubled": [Place.LEASED],
    "again": [Place.LEASED],
}  # fmt: skip
_ENDS = {
    "delivered": [("attempted", True)], "bounced": [("attempted", True)],
    "cancelled": [("cancelled", False)], "expired": [("expired", False)],
    "returned": [("bounced", False)],
}  # fmt: skip


async def test_every_message_is_read(sample: Sample) -> None:
    status = Status(sample.client, 1)
    accepted = {name: id_ for name, id_ in sample.made.items() if name != "staged"}
    found = {name: await status.message(id_) for name, id_ in accepted.items()}
    places = {name: [one.stored.place for one in each.open] for name, each in found.items()}
    assert places == {name: _PLACES[name] for name in accepted}
    ends = {
        name: [(over.ended.fate, over.ended.attempt is not None) for over in each.outcomes]
        for name, each in found.items()
        if each.outcomes
    }
    assert ends == {name: end for name, end in _ENDS.items() if name in accepted}
    assert found["deferred"].attempts[0].attempt.results[0].code == 451
    assert found["leased"].open[0].stored.flags & Flag.CANCEL
    assert found["aside"].open[0].paused
    assert found["ready"].open[0].reason.endswith(b"421 4.3.2 later")
    assert found["chunked"].open[0].delivery.chunks == 2
    assert found["ready"].record.sender == "s@s.example"


async def test_what_a_message_needs_is_read(later: Sample) -> None:
    status = Status(later.client, 1)
    needs = {}
    for name in ("secret", "lax", "timely", "waited", "ready"):
        found = await status.message(later.made[name])
        [one] = found.open
        record, delivery = found.record, one.delivery
        needs[name] = (delivery.version, one.stored.queue, delivery.by_mode, delivery.require_tls)
        assert (record.require_tls, record.by_mode) == (delivery.require_tls, delivery.by_mode)
        assert record.by_ms == delivery.by_ms == (FAR if delivery.by_mode else 0)
        assert record.metadata == ({"order": name} if name != "ready" else {})
    assert needs == {
        "secret": (NEEDFUL, "secret.example!requiretls", "", True),
        "lax": (NEEDFUL, "lax.example!tls-optional", "", False),
        "timely": (NEEDFUL, "timely.example", "RT", False),
        "waited": (NEEDFUL, "waited.example", "N", False),
        "ready": (VERSION, "a.example", "", False),
    }
    # One of version 2 is leased and settled, and when one is late its sender still hears of it.
    [lease] = await later.lease("secret.example!requiretls")
    assert await later.settle(lease, outcome=attempt()) == ["settled"]
    waited = f"{later.made['waited']}.0"
    await later.set_score(later.keys.late, waited, await later.now() - 1)
    await later.promote(waited)
    assert (await later.events())[-1] == (waited, "L0")


async def test_what_operators_bounced_is_read(later: Sample) -> None:
    returned, asked = later.made["returned"], later.made["asked"]
    [over] = (await Status(later.client, 1).message(returned)).outcomes
    assert over.ended.reply is not None
    assert str(over.ended.reply) == REPLY
    assert over.ended.delivery is not None
    assert over.ended.delivery.recipients[0].address == "u@a.example"
    assert await later.bounce(f"{returned}.0") == ["bounced"]
    # The reply that was asked for while it was leased is what it ends with.
    held = Held(f"{asked}.0", 1, "old")
    assert await later.settle(held, verb="later") == ["bounced"]
    [over] = (await Status(later.client, 1).message(asked)).outcomes
    assert over.ended.reply is not None
    assert str(over.ended.reply) == REPLY


async def test_complaints_are_read(later: Sample) -> None:
    message, complaints = later.made["delivered"], Complaints(later.client, 1)
    [found] = await complaints.of(message)
    assert found == Complaint(1, "t1", "u@a.example", "abuse", found.at_ms)
    assert found.at_ms > 1_700_000_000_000
    assert await complaints.note(message, "t1", "u@a.example", "abuse") == ("repeated", 1)
    outbox = Outbox(later.client, 0, 1)
    told = [entry for entry in await outbox.read("webhooks", 1000) if entry.complained]
    assert await outbox.complaints(told) == [found]


async def test_messages_are_found_by_recipient_and_tag(later: Sample) -> None:
    assert await noted_index(later.client) == Index(recipients=True, tags=True)
    finding = Finding(later.client, 1)
    secret = later.made["secret"]

    async def found(wanted: Wanted) -> list[Listed | Final]:
        return list((await finding.page(wanted, "", 10)).items)

    by_recipient = await found(Wanted(recipient="bob@secret.example"))
    by_tag = await found(Wanted(tag="about-secret", tenant="t2"))
    assert [one.id for one in by_recipient] == [one.id for one in by_tag] == [f"{secret}.0"]
    assert await found(Wanted(tag="about-secret", tenant="t1")) == []


async def test_what_is_known_of_lost_leases_is_read(later: Sample) -> None:
    status = Status(later.client, 1)
    doubles = {
        name: (await status.message(later.made[name])).possible_doubles
        for name in ("alone", "doubled", "ready")
    }
    assert doubles == {"alone": 1, "doubled": 1, "ready": 0}
    alone = Held(f"{later.made['alone']}.0", 2, "old")
    stored = await later.stored(alone.id)
    assert stored is not None
    assert stored.flags == Flag.ALONE | Flag.DOUBT | Flag.BEGUN
    # Its holder began with it and is lost: the sample says so, and it is the one to suspect.
    await later.expire(alone)
    await later.reclaim()
    stored = await later.stored(alone.id)
    assert stored is not None
    assert stored.suspicion == 2


async def test_what_was_admitted_in_part_is_completed(later: Sample) -> None:
    staged = later.made["staged"]
    assert await later.place(f"{staged}.0") is Place.STAGED
    rest = New(queue="staged.example")
    answer = await later.admit(rest, message=staged, total=2, first=1, part="last")
    assert answer[:2] == ["accepted", staged]


async def test_consumers_go_on_where_they_stood(later: Sample) -> None:
    outbox = Outbox(later.client, 0, 1)
    all_of_them = await outbox.read("dsn", 1000)
    assert await outbox.read("webhooks", 1000) == all_of_them[1:]
    assert not await outbox.hold_role("webhooks", "another", 1000)
    assert await outbox.hold_role("webhooks", "old", 1000)
    # What had been applied at the last look may be forgotten once that is a while ago.
    await later.trim("webhooks", apart_ms=0)
    look = await later.client.read("HGET", later.keys.cursors, "")
    assert look.decode().split()[1:] == [all_of_them[0].stream_id] * 2


async def test_credentials_and_what_they_used_are_read(later: Sample) -> None:
    identity = IdentityStore(later.client)
    kinds: tuple[Kind, ...] = ("user", "token")
    for kind in kinds:
        [found] = await identity.all(kind)
        one = found.credential
        assert (one.name, one.tenant, one.note) == (f"{kind}@s.example", "t1", "a sample")
        assert [secret.until_ms for secret in one.secrets] == [FAR, 0]
        assert (one.senders, one.networks) == ((".s.example",), ("192.0.2.0/24",))
        assert (one.scopes, one.quotas) == (("send", "read"), Quotas(10, 20, 30, 40))
    assert [change.fields["name"] for change in await identity.changes(5)] == [
        "token@s.example",
        "user@s.example",
    ]
    quotas = Quotas(messages_day=1_000_000)
    spent = await identity.spend(
        "t1", "user", "user@s.example", quotas, holder="old", seq=2, recipients=(1,)
    )
    assert spent.fits == (True,)


async def test_limits_and_policies_are_read(later: Sample) -> None:
    [path] = await Paths(later.client, "w3", PathOptions()).states([PATH])
    assert (path.state in ("dead", "probe"), path.window, path.waiters) == (True, 2, 1)
    assert (path.waiting[0][0], path.reply) == ("0/w2", "421 4.3.2 no")
    assert 0 < path.deliveries_us < path.until_ms * 1000
    # It goes on from there: a probe at most.
    assert len((await Worker(later.client, "w3").enter("c8", "c9")).fresh) <= 1
    assert await StsShelf(later.client).get("a.example") == b"version: STSv1"


_OPEN = ("ready", "held", "later", "keyed", "aside", "deferred", "chunked")


async def test_it_goes_on_where_it_stood(sample: Sample) -> None:
    made = sample.made
    # Who held a lease settles it, and was asked to cancel meanwhile.
    held = Held(f"{made['leased']}.0", 1, "old")
    assert await sample.extend(held) == ["cancel"]
    assert await sample.settle(held, verb="later") == ["cancelled"]
    # A settle that was recorded then is known; a key still stands for its message.
    assert await sample.settle(Held(f"{made['delivered']}.0", 1, "old")) == ["done"]
    assert await sample.admit(New(), fingerprint="f", digest="d") == ["repeated", made["keyed"]]
    assert (await sample.admit(New(), fingerprint="g", digest="d"))[0] == "conflict"
    # What was ready, held, later or set aside is delivered.
    await sample.resume("t:t1")
    await sample.unhold(f"{made['held']}.0")
    await sample.reschedule(f"{made['later']}.0", f"{made['deferred']}.0")
    for name in _OPEN:
        queue = "a.example" if name == "ready" else f"{name}.example"
        [lease] = await sample.lease(queue)
        assert lease.id == f"{made[name]}.0"
        assert await sample.settle(lease, outcome=attempt()) == ["settled"]
    left = {(await sample.stored(f"{made[name]}.0")) is not None for name in _OPEN}
    assert left == {False}


async def test_a_dsn_that_was_due_is_written(sample: Sample) -> None:
    outbox = Outbox(sample.client, 0, 1)
    entries = [entry for entry in await outbox.read("dsn", 1000) if entry.report_due]
    outcomes = [one for one in await outbox.outcomes(entries, 10_000) if one is not None]
    about = {one.delivery_id[:20]: one.results[0].fate for one in outcomes}
    due = {"bounced": "bounced", "expired": "expired", "returned": "bounced", "late": "late"}
    assert about == {sample.made[name]: due[name] for name in due if name in sample.made}
    assert all(one.content for one in outcomes)
    await outbox.close(outcomes)
    assert not await sample.has_content(sample.made["bounced"])


NEWER = NEEDFUL + 1
#: An array of MessagePack that begins with a newer version, and has other fields than ours.
BODY = b"\x92" + bytes((NEWER,)) + b"\xa1x"


@pytest.mark.parametrize(
    "read",
    [decode_stored, decode_delivery, decode_attempt, decode_record],
    ids=lambda read: read.__name__,
)
def test_a_newer_version_is_told_from_damage_whatever_is_in_it(read: Any) -> None:
    newer = bytes((NEWER,)) + b"anything" if read is decode_stored else BODY
    with pytest.raises(NewerRecord, match=f"version {NEWER}.*reads up to [{VERSION}{NEEDFUL}]"):
        read(newer)
    for damaged in (b"", b"\x01", b"\x01" * 24) if read is decode_stored else (b"", b"\x91\x01"):
        with pytest.raises(DamagedRecord):
            read(damaged)


def test_an_outcome_of_a_newer_attempt_is_newer() -> None:
    with pytest.raises(NewerRecord):
        decode_outcome(b"f0.1", b"o\x01w" + BODY)
    with pytest.raises(DamagedRecord):
        decode_outcome(b"f0.1", b"?")


async def test_a_newer_delivery_stops_its_queue_and_is_seen(queue: QueueStore) -> None:
    newer = await queue.admitted() + ".0"
    await queue.admitted(New(queue="b.example"))
    value = await queue.newer(newer)
    _, blocked, other = await queue.lease_raw(("a.example", 5), ("b.example", 5))
    assert blocked == [2]
    assert len(other) == 3
    assert await queue.client.read("HGET", queue.keys.deliveries, newer) == value
    await queue.client.read("HSET", queue.keys.deliveries, newer, b"\x01" + value[1:])


async def test_a_delivery_cut_off_is_passed_over(queue: QueueStore) -> None:
    damaged = await queue.admitted() + ".0"
    value = await queue.client.read("HGET", queue.keys.deliveries, damaged)
    await queue.client.read("HSET", queue.keys.deliveries, damaged, value[:10])
    _, blocked = await queue.lease_raw(("a.example", 5))
    assert blocked == [2]
    assert await queue.cancel(damaged) == ["newer"]
    await queue.promote_all()
    await queue.client.read("HSET", queue.keys.deliveries, damaged, value)


async def test_a_claim_of_a_newer_version_waits_for_a_newer_process(queue: QueueStore) -> None:
    message = await queue.admitted(New(flags=Flag.REPORT))
    [lease] = await queue.lease()
    await queue.settle(lease, event="B", outcome=attempt(fate="bounced"))
    outbox = Outbox(queue.client, 0, 1)
    entries = [entry for entry in await outbox.read("dsn", 10) if entry.report_due]
    record, field = queue.keys.record(message), "k0.1"
    value = await queue.client.read("HGET", record, field)
    await queue.client.read("HSET", record, field, bytes((NEWER,)) + value[1:])
    with pytest.raises(UnreadableRecord):
        await outbox.outcomes(entries, 10)
    # Damage must not hold up all other DSNs.
    damaged = Counted("relay_records_unreadable_total", reason="damaged")
    await queue.client.read("HSET", record, field, value[:5])
    assert await outbox.outcomes(entries, 10) == [None]
    assert damaged.more == 1
    await queue.client.read("HSET", record, field, value)
