"""Why mail is not being sent now, and where it would go: asked of the store and of the DNS.

The DNS is asked from here and as the settings here say; a worker elsewhere may see it differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from relay.console.findings import (
    Finding,
    Subject,
    path_findings,
    path_line,
    queue_findings,
    route_finding,
    why_delivery,
)
from relay.console.records import moment, reply_line
from relay.delivery.route import Route, Router
from relay.delivery.unroutable import RouteFailure
from relay.errors import NoSuchMessage
from relay.lookup.answers import Hosts, LookupFailed, MailHosts, NoAddress, NullMx
from relay.lookup.resolver import Resolver
from relay.mail.delivery import Attempt
from relay.mail.ids import delivery_id, is_message_id, partition_of
from relay.mail.reply import Reply
from relay.policy.needs import domain_of
from relay.policy.routes import RouteTable
from relay.policy.shaping import Shaping
from relay.policy.tls import Requirement, TlsMode, described
from relay.store.client import StoreClient
from relay.store.codec import Place
from relay.store.paths import Path, Paths
from relay.store.roster import Roster
from relay.store.status import OpenDelivery, Over, Status, StoredMessage
from relay.store.waiting import Waiting


class Destination(Struct, frozen=True):
    """Where a domain's mail goes, as a worker would find it."""

    domain: str
    #: What decides: route table, mx, implicit (no MX, but own addresses) or literal; else null mx,
    #: no address, no such domain or lookup failed.
    by: str
    #: Preference and host, as in "10 mx.example.com"; a smart host as the table has it.
    hosts: tuple[str, ...]
    site: str
    #: Host and address, in an order to try.
    addresses: tuple[str, ...]
    #: Why there is no route, "" where there is one; permanent: mail for it bounces.
    failure: str = ""
    permanent: bool = False
    #: How the fleet's limits for the site stand, "" without a route.
    path: str = ""
    #: What TLS each host needs, as in "mx.example.com: verified, by mta-sts".
    tls: tuple[str, ...] = ()


class Explained(Struct, frozen=True):
    """One delivery of a message, or mail to an address."""

    #: "" for an address.
    delivery: str
    recipients: tuple[str, ...]
    #: What keeps it, the decisive one first, then what is to be known besides.
    findings: tuple[Finding, ...]
    destination: Destination | None


class Explanation(Struct, frozen=True):
    """All that there is to say of a message, or of mail to an address."""

    subject: str
    deliveries: tuple[Explained, ...]


class Explainer:
    """Every call raises StoreUnavailable, and changes nothing."""

    def __init__(
        self,
        client: StoreClient,
        partitions: int,
        *,
        resolver: Resolver,
        router: Router,
        table: RouteTable,
        shaping: Shaping,
        tls: TlsMode = TlsMode.OPPORTUNISTIC,
    ) -> None:
        self._usual = Requirement(tls)
        self._partitions = partitions
        self._status = Status(client, partitions)
        self._waiting = Waiting(client, partitions)
        self._paths = Paths(client, "")
        self._roster = Roster(client)
        self._resolver = resolver
        self._router = router
        self._table = table
        self._shaping = shaping

    async def message(self, message: str) -> Explanation:
        """Each delivery of a message. Raises NoSuchMessage."""
        if not is_message_id(message) or partition_of(message) >= self._partitions:
            raise NoSuchMessage(f"{message} is no id of a message in this store")
        stored = await self._status.message(message)
        explained = [await self._open(stored, each) for each in stored.open]
        still_open = {each.number for each in stored.open}
        explained += [
            _over(message, over) for over in stored.outcomes if over.number not in still_open
        ]
        return Explanation(message, tuple(explained))

    async def address(self, address: str) -> Explanation:
        """Mail to an address in canonical form."""
        domain = address.rpartition("@")[2]
        states = [
            await self._waiting.queue(partition, domain, None)
            for partition in range(self._partitions)
        ]
        # The partition where most waits is the one that somebody asks about.
        fullest = max(states, key=lambda state: (len(state.paused), state.parked_ms, state.ready))
        destination, besides = await self._destination(domain)
        findings = [*queue_findings(fullest, None, await self._waiting.now()), *besides]
        if not findings:
            findings = [Finding("clear", f"nothing keeps mail to {domain} from being sent")]
        return Explanation(address, (Explained("", (address,), tuple(findings), destination),))

    async def _open(self, message: StoredMessage, one: OpenDelivery) -> Explained:
        stored = one.stored
        name = delivery_id(message.id, one.number)
        partition = partition_of(message.id)
        tenant = stored.lane[1:]
        queue, score, now_ms, (destination, besides) = await asyncio.gather(
            self._waiting.queue(partition, stored.queue, tenant),
            self._waiting.score(partition, name, stored),
            self._waiting.now(),
            self._destination(stored.queue),
        )
        last = _last(message, one.number)
        subject = Subject(message.id, stored, score, queue, _line(last), now_ms)
        findings = list(why_delivery(subject))
        if stored.place is not Place.LEASED:
            findings += besides
        if not findings:
            due = f"{queue.ready} for {stored.queue} are due"
            findings = [Finding("due", f"it is due, and a worker takes it in its turn: {due}")]
        findings.append(_history(one, last))
        recipients = tuple(recipient.address for recipient in one.delivery.recipients)
        return Explained(name, recipients, tuple(findings), destination)

    async def _destination(self, queue: str) -> tuple[Destination, list[Finding]]:
        """Where the queue's mail goes, and what keeps all of it."""
        domain, found = domain_of(queue), await self._router.route(queue)
        by, hosts = await self._hosts(domain)
        findings = []
        if not await self._roster.workers():
            text = "no worker has reported within 30 seconds: start one (relay worker)"
            findings.append(Finding("no-worker", text))
        if isinstance(found, RouteFailure):
            findings.insert(0, route_finding(found))
            why = reply_line(found.reply)
            return Destination(domain, by, hosts, "", (), why, found.permanent), findings
        limits = self._shaping.limits(found.source, found.site, domain)
        [state] = await self._paths.states([Path(found.source, found.site)])
        destination = Destination(
            domain=domain,
            by=by,
            hosts=hosts,
            site=found.site,
            addresses=tuple(f"{one.host} [{one.address}]:{one.port}" for one in found.candidates),
            path=path_line(state, limits),
            tls=self._tls(found),
        )
        return destination, [*findings, *path_findings(state, limits)]

    def _tls(self, route: Route) -> tuple[str, ...]:
        needs = {one.host: one.needs or self._usual for one in route.candidates}
        return tuple(f"{host}: {described(one)}" for host, one in needs.items())

    async def _hosts(self, domain: str) -> tuple[str, tuple[str, ...]]:
        """What decides, and the hosts that it names."""
        smart_host = self._table.find(domain)
        if smart_host is not None:
            return "route table", (str(smart_host),)
        if domain.startswith("["):
            return "literal", (domain,)
        return _by(await self._resolver.mail_hosts(domain))


def _by(found: MailHosts) -> tuple[str, tuple[str, ...]]:
    match found:
        case Hosts(mx=mx, implicit=implicit):
            hosts = tuple(f"{preference} {host}" for preference, host in mx)
            return ("implicit" if implicit else "mx"), hosts
        case NullMx():
            return "null mx", ()
        case LookupFailed():
            return "lookup failed", ()
        case NoAddress():
            return "no address", ()
    return "no such domain", ()


def _over(message: str, over: Over) -> Explained:
    ended = over.ended
    results = ended.attempt.results if ended.attempt else ()
    recipients = tuple(result.recipient for result in results)
    if ended.delivery is not None:
        recipients += tuple(recipient.address for recipient in ended.delivery.recipients)
    at = moment(ended.at_ms).isoformat(timespec="seconds")
    said = [f"{one.fate}: {_reply(one.code, one.enhanced, one.text)}" for one in results]
    if ended.reply is not None:
        said = [f"{ended.fate} by an operator: {ended.reply}"]
    text = f"it is over since {at}: {'; '.join(dict.fromkeys(said)) or ended.fate}"
    return Explained(delivery_id(message, over.number), recipients, (Finding("final", text),), None)


def _last(message: StoredMessage, number: int) -> Attempt | None:
    tried: Sequence[Attempt] = [one.attempt for one in message.attempts if one.number == number]
    return max(tried, key=lambda attempt: attempt.number, default=None)


def _line(attempt: Attempt | None) -> str:
    if attempt is None:
        return ""
    last = attempt.results[-1]
    return _reply(last.code, last.enhanced, last.text)


def _reply(code: int, enhanced: str, text: str) -> str:
    return reply_line(Reply(code, enhanced, text))


def _history(one: OpenDelivery, last: Attempt | None) -> Finding:
    """What was tried so far."""
    count = one.stored.attempts
    if not count:
        return Finding("attempts", "it was not attempted so far")
    if last is None:
        return Finding("attempts", f"{count} attempts so far, none with a reply that is kept")
    at = moment(last.at_ms).isoformat(timespec="seconds")
    host = f"{last.host} [{last.address}]" if last.address else last.host or "no host"
    over = f" over {last.tls}" if last.tls else ""
    plural = "attempt" if count == 1 else "attempts"
    text = f"{count} {plural} so far, the last at {at} at {host}{over}: {_line(last)}"
    return Finding("attempts", text)
