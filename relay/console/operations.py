"""What operators do to many deliveries at once: hold, release, retry, cancel, bounce them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct

from relay import log
from relay.console.sites import Sites
from relay.mail.reply import Reply, bounce_reply
from relay.policy.needs import domain_of
from relay.policy.selection import Candidate, Selection
from relay.store.bulk import Bulk
from relay.store.client import StoreClient
from relay.store.codec import Flag, Place
from relay.store.control import Control, ControlOptions
from relay.store.identity import IdentityStore
from relay.store.walk import Met, Walk

Verb = Literal["hold", "release", "retry", "cancel", "bounce"]
#: What a bounce says unless the operator says it.
BOUNCE_REPLY = bounce_reply("Bounced by an operator of this relay")

#: Takes none.
NOTHING = Selection()
_audit = log.logger("relay.audit")
_ANYWHERE = frozenset((Place.LATER, Place.READY, Place.LEASED, Place.HELD))
#: Where a delivery is that a verb can do something about.
_PLACES: dict[Verb, frozenset[Place]] = {
    "hold": frozenset((Place.LATER, Place.READY, Place.LEASED)),
    "release": frozenset((Place.HELD,)),
    "retry": frozenset((Place.LATER, Place.READY)),
    "cancel": _ANYWHERE,
    "bounce": _ANYWHERE,
}


class DomainCount(Struct, frozen=True):
    """Deliveries of one domain."""

    domain: str
    deliveries: int


class Done(Struct, frozen=True):
    """What was done, or would be, to the deliveries of a selection."""

    verb: str
    selection: str
    #: Nothing was done: it was only counted.
    dry_run: bool
    #: Deliveries that the verb can do something about.
    deliveries: int
    #: The domains with most of them.
    domains: tuple[DomainCount, ...]
    #: What became of them, by the word for it (docs/cli.md); empty for a dry run.
    answers: dict[str, int]
    #: Queues and tenants held or let go as a whole, mail to come included.
    whole: tuple[str, ...]
    #: Deliveries that this version cannot read: left alone.
    unread: int
    #: Where sites were asked for: domains whose site the DNS does not say now. Left alone.
    siteless: int = 0


class Operations:
    """Every call may be said again, and raises StoreUnavailable.

    `by` says in the audit who asks, `reply` what recipients are bounced with. `sites` is needed for
    selections that name sites.
    """

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        *,
        longest_ms: int,
        by: str = "cli",
        reply: Reply = BOUNCE_REPLY,
        sites: Sites | None = None,
    ) -> None:
        options = ControlOptions(longest_ms=longest_ms)
        self._walk = Walk(client, partitions)
        # Nobody is rung from here: the pump of any worker does it at its next step.
        self._bulk = Bulk(client, partitions, options, lambda _: None)
        self._control = Control(client, partitions, options)
        self._identity = IdentityStore(client)
        self._by = by
        self._reply = reply
        self._sites = sites

    async def run(self, verb: Verb, selection: Selection, *, dry_run: bool) -> Done:
        """Do it to all that is selected; where `dry_run`, count alone."""
        self._walk.unread = 0
        asked, siteless = str(selection), 0
        if selection.sites:
            domains_there, siteless = await self._domains_at(verb, selection)
            selection = selection.at_domains(domains_there) or NOTHING
        whole = self._whole(verb, selection)
        if not dry_run:
            await self._do_whole(verb, selection)
        domains: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        say = self._saying(verb)
        # What is held as a whole stays where it is, and is not held one by one besides.
        passive = verb == "hold" and bool(whole)
        async for portion in self.selected(verb, selection):
            domains.update(one.stored.domain for one in portion)
            if not dry_run and not passive:
                answers.update(await say(portion))
        done = Done(
            verb=verb,
            selection=asked,
            dry_run=dry_run,
            deliveries=sum(domains.values()),
            domains=tuple(DomainCount(*pair) for pair in domains.most_common(20)),
            answers=dict(sorted(answers.items())),
            whole=whole,
            unread=self._walk.unread,
            siteless=siteless,
        )
        if not dry_run:
            await self._note(done)
        return done

    async def _domains_at(self, verb: Verb, selection: Selection) -> tuple[set[str], int]:
        """The domains in the queue that lead to the sites, and how many lead nobody knows where."""
        if self._sites is None:
            raise ValueError("sites are asked for, and nobody finds them")
        paused = await self._control.paused()
        domains = {domain_of(one.name) for one in paused if one.kind == "queue"}
        async for portion in self.selected(verb, selection.anywhere):
            domains.update(one.stored.domain for one in portion)
        found = await self._sites.of(domains)
        there = {domain for domain, site in found.items() if site in selection.sites}
        return there, sum(not site for site in found.values())

    async def selected(self, verb: Verb, selection: Selection) -> AsyncIterator[Sequence[Met]]:
        """The deliveries that are meant, in portions."""
        met = self._walk.of(selection.messages) if selection.messages else self._walk.all()
        async for portion in met:
            chosen = [one for one in portion if _can(verb, one)]
            chosen = [one for one in chosen if await self._takes(selection, one)]
            if chosen:
                yield chosen

    async def _takes(self, selection: Selection, one: Met) -> bool:
        # Tags are in the message's record, which is read last.
        if not selection.takes(_candidate(one, selection.tags)):
            return False
        if not selection.tags:
            return True
        record = await self._walk.record(one)
        return record is not None and selection.takes(_candidate(one, record.tags))

    def _saying(self, verb: Verb) -> Callable[[Sequence[Met]], Awaitable[list[str]]]:
        said: dict[Verb, Callable[[Sequence[Met]], Awaitable[list[str]]]] = {
            "hold": self._bulk.hold,
            "release": self._bulk.release,
            "retry": self._bulk.retry,
            "cancel": self._bulk.cancel,
            "bounce": partial(self._bulk.bounce, reply=self._reply),
        }
        return said[verb]

    def _whole(self, verb: Verb, selection: Selection) -> tuple[str, ...]:
        if verb not in ("hold", "release") or not selection.is_whole:
            return ()
        named = [f"domain {name}" for name in sorted(selection.domains)]
        return tuple(named + [f"tenant {name}" for name in sorted(selection.tenants)])

    async def _do_whole(self, verb: Verb, selection: Selection) -> None:
        if verb == "release" and selection.everything:
            for paused in await self._control.paused():
                await self._let_go(paused.kind, paused.name)
        if not self._whole(verb, selection):
            return
        why = f"held by {self._by}"
        for kind, names in (("queue", selection.domains), ("tenant", selection.tenants)):
            for name in names:
                if verb == "release":
                    await self._let_go(kind, name)
                elif kind == "queue":
                    await self._control.hold_queue(name, why)
                else:
                    await self._control.hold_tenant(name, why)

    async def _let_go(self, kind: str, name: str) -> None:
        if kind == "queue":
            await self._control.unhold_queue(name)
        else:
            await self._control.unhold_tenant(name)

    async def _note(self, done: Done) -> None:
        """Who did what, for the audit."""
        changes: dict[str, object] = {"deliveries": done.deliveries, "answers": done.answers}
        changes |= {"whole": done.whole}
        if done.verb == "bounce":
            changes |= {"reply": str(self._reply)}
        event = {
            "by": self._by,
            "action": done.verb,
            "kind": "deliveries",
            "name": done.selection,
            "tenant": "",
            "changes": json.dumps(changes),
        }
        await self._identity.note(event)
        _audit.info("operated", **event)


def _can(verb: Verb, one: Met) -> bool:
    """Whether the verb can do something about it: a lease that is to be held is as good as held."""
    if verb == "release" and one.stored.flags & Flag.HOLD:
        return True
    return one.stored.place in _PLACES[verb]


def _candidate(one: Met, tags: Collection[str]) -> Candidate:
    return Candidate(one.message, one.stored.domain, one.tenant, one.accepted_ms, tags)
