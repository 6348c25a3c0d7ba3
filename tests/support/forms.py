"""One of each form that a store holds: what samples are made of (tests/support/samples.py)."""

from __future__ import annotations

from functools import partial

from relay.mail.envelope import Envelope, Recipient
from relay.policy.credential import Credential, Kind, Quotas, Secret
from relay.policy.shaping import Limits, Rate
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.codec import Flag
from relay.store.complaints import Complaints
from relay.store.forgetting import Forgetting
from relay.store.identity import IdentityStore
from relay.store.identity_keys import account
from relay.store.index import Index
from relay.store.outbox import Outbox
from relay.store.schema import agree, note_index
from relay.store.script import Text
from relay.store.sts_shelf import StsShelf
from relay.submission import Submission, Submitter
from tests.support.paths import Worker
from tests.support.queue import LEASE_MS, MINUTE, New, QueueStore, attempt
from tests.support.stored import Held

#: A time that no test lives to see, in ms.
FAR = 4_000_000_000_000
REPLY = "550 5.7.1 not from here"


async def fill(client: StoreClient) -> dict[str, str]:
    """One of each form; name -> message id."""
    queue = QueueStore(client)
    await agree(client, 1, "fsync")
    made = await _usual(queue)
    made |= await _needful(client, queue)
    made |= await _ended_by_operators(queue)
    made |= await _unsure(queue)
    await _told(client, queue, made["delivered"])
    await _limits(client)
    await _credentials(client)
    await StsShelf(client).put("a.example", b"version: STSv1", 3600)
    return made


async def _usual(queue: QueueStore) -> dict[str, str]:
    """What every version knows."""
    made = {
        "ready": await queue.admitted(New(), content=b"Subject: ready\r\n\r\nhi\r\n"),
        "later": await queue.admitted(
            New(queue="later.example", due_ms=await queue.now() + MINUTE)
        ),
        "held": await queue.admitted(New(queue="held.example")),
        "keyed": await queue.admitted(New(queue="keyed.example"), fingerprint="f", digest="d"),
        "aside": await queue.admitted(New(queue="aside.example", lane="nt1")),
    }
    await queue.hold(f"{made['held']}.0")
    await queue.pause("t:t1", why="a sample")
    await queue.lease("aside.example")
    for name, flags, recipients in (
        ("delivered", Flag(0), ("u@a.example",)),
        ("bounced", Flag.REPORT, ("u@a.example",)),
        ("deferred", Flag.REPORT, ("u@a.example", "v@a.example")),
        ("cancelled", Flag(0), ("u@a.example",)),
        ("leased", Flag.REPORT, ("u@a.example",)),
    ):
        domain = f"{name}.example"
        made[name] = await queue.admitted(New(queue=domain, flags=flags, recipients=recipients))
        if name == "cancelled":
            await queue.cancel(f"{made[name]}.0")
            continue
        [lease] = await queue.lease(domain, holder="old")
        if name == "leased":
            await queue.cancel(f"{made[name]}.0")
        elif name == "deferred":
            said = attempt(fate="deferred")
            await queue.settle(lease, verb="later", outcome=said, slot="1")
        else:
            event = "d" if name == "delivered" else "B"
            await queue.settle(lease, outcome=attempt(fate=name), event=event)
    chunked = queue.new_id()
    await queue.store_chunks(chunked, 2)
    made["chunked"] = await queue.admitted(New(queue="chunked.example"), message=chunked, chunks=2)
    await queue.park("a.example", why="421 4.3.2 later")
    made["staged"] = queue.new_id()
    staged = New(queue="staged.example")
    await queue.admit(staged, message=made["staged"], total=2, part="staged")
    long_ago = await queue.now() - 2 * MINUTE
    old = New(queue="expired.example", flags=Flag.REPORT, expires_ms=long_ago)
    made["expired"] = await queue.admitted(old)
    await queue.promote_all()
    return made


async def _needful(client: StoreClient, queue: QueueStore) -> dict[str, str]:
    """Deliveries of version 2, found by recipient and tag: TLS that is needed, and times."""
    names = ("recipients", "tags")
    await note_index(client, names)
    options = AdmissionOptions(index=Index(recipients=True, tags=True))
    submitter = Submitter(Admission(client, 1, options), 1, lambda _: None)

    async def submit(name: str, *, require_tls: bool = False, by: str = "") -> str:
        accepted = await submitter.submit(
            Submission(
                id=submitter.new_id(),
                envelope=Envelope(
                    "s@s.example",
                    (Recipient(f"Bob@{name}.example", "FAILURE,DELAY"),),
                    require_tls=require_tls,
                    tls_optional=name == "lax",
                ),
                content=(b"Subject: x\r\n\r\nhi\r\n",),
                by_ms=FAR if by else 0,
                by_mode=by,
                expires_at_ms=FAR if by else 0,
                tags=(f"about-{name}",),
                metadata={"order": name},
                tenant="t2",
            )
        )
        return accepted.id

    made = {
        "secret": await submit("secret", require_tls=True),
        "lax": await submit("lax"),
        "timely": await submit("timely", by="RT"),
        "waited": await submit("waited", by="N"),
        "late": await submit("late", by="N"),
    }
    await queue.set_score(queue.keys.late, f"{made['late']}.0", await queue.now() - 1)
    await queue.promote_all()
    await Forgetting(client, 1, 10.0).turn()
    return made


async def _ended_by_operators(queue: QueueStore) -> dict[str, str]:
    """Bounced at once, and one that is to be once its lease ends."""
    made = {}
    for name in ("returned", "asked"):
        domain = f"{name}.example"
        made[name] = await queue.admitted(New(queue=domain, flags=Flag.REPORT))
        if name == "asked":
            await queue.lease(domain, holder="old")
        await queue.bounce(f"{made[name]}.0", reply=REPLY)
    return made


async def _unsure(queue: QueueStore) -> dict[str, str]:
    """Leases that were lost, by their holders or by the store, and an answer that was lost."""
    made = {}
    for name in ("alone", "doubled", "again"):
        domain = f"{name}.example"
        made[name] = await queue.admitted(New(queue=domain))
        await queue.admitted(New(queue=domain))
        [lease] = await queue.lease(domain, 1, holder="old")
        if name == "again":
            await queue.admit(New(queue=domain), message=made[name])
        elif name == "doubled":
            other = Held(lease.id, lease.fence, "gone")
            args: list[Text] = [other.holder, LEASE_MS, other.id, other.fence]
            names = [*queue.fixed("retake"), queue.keys.record(other.message)]
            await queue.run("retake", names, *args)
        else:
            await queue.expire(lease)
            await queue.reclaim()
            [lease] = await queue.lease(domain, 1, holder="old")
            await queue.begin(lease)
    return made


async def _told(client: StoreClient, queue: QueueStore, message: str) -> None:
    """A complaint, and how far consumers of events have come."""
    await Complaints(client, 1).note(message, "t1", "u@a.example", "abuse")
    outbox = Outbox(client, 0, 1)
    first, *_ = await outbox.read("webhooks", 1)
    await outbox.advance("webhooks", first.stream_id)
    await outbox.hold_role("webhooks", "old", MINUTE)
    await queue.trim("webhooks")


async def _limits(client: StoreClient) -> None:
    """A path whose breaker is open, with a rate, and a queue that waits for it."""
    limits = Limits(initial=2, connection_rate=Rate(60, 60.0), delivery_rate=Rate(600, 60.0))
    old, other = Worker(client, "old", limits), Worker(client, "w2", limits)
    await old.enter("c1", "c2")
    await other.enter("c3")
    await old.leave("c1", failures=20, reply="421 4.3.2 no")


async def _credentials(client: StoreClient) -> None:
    """A login and a token, one failed login, and what they have used."""
    identity = IdentityStore(client)
    kinds: tuple[Kind, ...] = ("user", "token")
    for kind in kinds:
        one = Credential(
            1, kind, f"{kind}@s.example", "t1", (Secret("$argon2id$v=19$x", FAR), Secret("y")),
            ("send", "read"), (".s.example",), ("192.0.2.0/24",), Quotas(10, 20, 30, 40),
            FAR, created_ms=1, changed_ms=2, note="a sample",
        )  # fmt: skip
        await identity.change(None, one, {"action": "added", "name": one.name})
    login = partial(identity.logins, account("user@s.example"), window_ms=MINUTE, known_ms=MINUTE)
    await login(verb="failed", token="t")
    await login(verb="passed", client="192.0.2.9")
    await identity.spend(
        "t1", "user", "user@s.example", Quotas(10, 20), holder="old", seq=1, recipients=(1, 2)
    )
