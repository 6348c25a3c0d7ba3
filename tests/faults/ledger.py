"""The ledger: what was accepted, what the hosts took, which outcomes are recorded; and the check.

Every id that was accepted is delivered or has its recorded outcome; a recipient got a message twice
only where a possible double was counted for it; nothing was delivered that was not accepted.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from relay.feedback.report import dsn_id
from relay.store.codec import decode_outcome
from relay.store.keys import partition_keys
from tests.support.producer import Post, Producer
from tests.support.site import Manner, Site, Taken
from tests.support.source import post
from tests.support.valkey import ValkeyServer

#: Relay's id of a message, in the trace header that it added.
_TRACE = re.compile(rb"\AReceived:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*?[^\r]*\bid (\w{20})\b")
_MESSAGE_ID = re.compile(rb"^Message-ID: <(\w{20})@", re.MULTILINE)
#: Domains of a load whose hosts take their time.
_SLOW = 6
_BOUNCES = Manner(rcpt="550 5.1.1 No such user")


@dataclass
class Verdict:
    """What a row of the table says of the mail; `faults` must be empty."""

    accepted: int = 0
    delivered: int = 0
    bounced: int = 0
    dsns: int = 0
    #: Accepted, and neither delivered nor with an outcome.
    lost: int = 0
    #: Deliveries to a recipient beyond the first one.
    doubled: int = 0
    #: Possible doubles that are counted in the records.
    possible: int = 0
    #: Submitted again by a client that got no answer, and accepted both times.
    resubmitted: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Sum up."""
        for name in ("accepted", "delivered", "bounced", "dsns", "lost", "doubled", "possible"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.resubmitted += other.resubmitted
        self.faults += other.faults

    def assert_kept(self) -> None:
        """The promise was kept."""
        assert not self.faults, self.faults[:20]
        assert not self.lost
        assert self.doubled <= self.possible


@dataclass(frozen=True)
class Load:
    """Distinct messages whose ids begin with a name: to many domains, some of them slow, some
    messages to several domains, and some to a recipient who does not exist."""

    name: str
    domains: int = 24
    #: Seconds that hosts take for the longest transactions.
    longest: float = 0.0
    size: int = 600
    #: Whose messages they are; others have other ids.
    kind: str = ""

    def posts(self) -> Iterator[Post]:
        """The messages, one after the other, without end."""
        for n in count():
            yield post(f"{self.name}-{self.kind}{n}", *self._recipients(n), size=self.size)

    def _recipients(self, n: int) -> Sequence[str]:
        first = f"r{self.kind}{n}@{self.name}{n % self.domains}.test"
        if n % 16 == 7:
            return (first, f"s{n}@{self.name}{(n + 1) % self.domains}.test")
        if n % 16 == 11:
            return (f"nobody@no{n % 3}.test",)
        if n % 20 == 3 and self.longest:
            return (f"r{n}@{self.name}slow{n // 20 % _SLOW}.test",)
        return (first,)

    def place(self, site: Site) -> None:
        """Have hosts behave: the slow ones each by another time, before the content or after it."""
        for n in range(3):
            site.manners[f"no{n}.test"] = _BOUNCES
        for n in range(_SLOW):
            seconds = self.longest * (n + 1) / _SLOW
            manner = Manner(delay=seconds) if n % 2 else Manner(data_delay=seconds)
            site.manners[f"{self.name}slow{n}.test"] = manner


def relay_id(taken: Taken) -> str:
    """The id that Relay gave a message that a host took: in the trace header, or the Message-ID
    that it gave to what came by the Python client."""
    found = _TRACE.match(taken.content) or _MESSAGE_ID.search(taken.content)
    return found[1].decode() if found else ""


def check(store: ValkeyServer, site: Site, sources: Iterable[Producer], since: int = 0) -> Verdict:
    """Compare what was accepted and recorded with what was taken, from the `since`-th on."""
    accepted: dict[str, str] = {}
    unsure: set[str] = set()
    posts: dict[str, Post] = {}
    for source in sources:
        accepted |= source.accepted
        unsure |= set(source.unsure)
        posts |= {one.id: one for one in source.drawn}
    verdict = Verdict(accepted=len(accepted))
    taken = _Taken(site.taken[since:], posts)
    for test_id, message in accepted.items():
        _check_message(verdict, store, taken, posts[test_id], message)
    known = set(accepted.values())
    for (message, test_id), times in taken.others(known).items():
        if test_id not in unsure:
            verdict.faults.append(f"{test_id}: delivered as {message}, which nobody accepted")
        else:
            verdict.resubmitted += 1
            _count_doubles(verdict, store, message, test_id, times)
    every = {*known, *(message for message, _ in taken.others(known))}
    due = {dsn for message in every for dsn in _due(message, _record(store, message))}
    _check_dsns(verdict, store, taken, due, unsure)
    return verdict


class _Taken:
    """What hosts took, by message and recipient."""

    def __init__(self, every: Iterable[Taken], posts: dict[str, Post]) -> None:
        self.times: Counter[tuple[str, str]] = Counter()
        self.tests: dict[str, str] = {}
        self.dsns: Counter[str] = Counter()
        #: The test's message that a DSN is about.
        self.about: dict[str, str] = {}
        for one in every:
            message = relay_id(one)
            if not one.sender:
                found = _MESSAGE_ID.search(one.content)
                dsn = found[1].decode() if found else ""
                self.dsns[dsn] += 1
                self.about[dsn] = one.id
            elif one.id in posts:
                self.tests[message] = one.id
                for recipient in one.recipients:
                    self.times[message, recipient] += 1

    def others(self, known: set[str]) -> dict[tuple[str, str], Counter[str]]:
        """Messages beside the known ones: how often each recipient got them."""
        found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for (message, recipient), often in self.times.items():
            if message not in known:
                found[message, self.tests[message]][recipient] += often
        return found


def _record(store: ValkeyServer, message: str) -> dict[bytes, bytes]:
    flat = store.command("HGETALL", partition_keys(0, 1).record(message))
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _check_message(
    verdict: Verdict, store: ValkeyServer, taken: _Taken, one: Post, message: str
) -> None:
    record = _record(store, message)
    fates = _fates(record)
    times = Counter({who: taken.times[message, who] for who in one.recipients})
    for recipient in one.recipients:
        had = fates.get(recipient, [])
        if len(had) != 1:
            verdict.lost += not had
            verdict.faults.append(f"{one.id} ({message}): {recipient} has outcomes {had}")
        elif (had[0] == "delivered") != (times[recipient] > 0):
            verdict.lost += had[0] == "delivered"
            # A transaction whose reply was lost, and that ended otherwise later, is in doubt.
            if had[0] == "delivered" or not int(record.get(b"p", 0)):
                verdict.faults.append(f"{one.id}: {recipient} {had[0]}, came {times[recipient]} x")
    words = [word for had in fates.values() for word in had]
    verdict.delivered += words.count("delivered")
    verdict.bounced += words.count("bounced")
    _count_doubles(verdict, store, message, one.id, times, record)


def _count_doubles(
    verdict: Verdict,
    store: ValkeyServer,
    message: str,
    what: str,
    times: Counter[str],
    record: dict[bytes, bytes] | None = None,
) -> None:
    record = _record(store, message) if record is None else record
    possible = int(record.get(b"p", 0))
    real = max((often - 1 for often in times.values()), default=0)
    verdict.possible += possible
    verdict.doubled += max(real, 0)
    if real > possible:
        verdict.faults.append(f"{what} ({message}): came {real} x too often, {possible} counted")


def _due(message: str, record: dict[bytes, bytes]) -> Iterator[str]:
    """The DSNs that a message's bounces call for, by their ids."""
    for name, value in record.items():
        if found := re.fullmatch(rb"f(\d+)\.\d+", name):
            ended = decode_outcome(name, value)
            results = ended.attempt.results if ended.attempt is not None else ()
            if any(result.fate == "bounced" for result in results):
                yield dsn_id(f"{message}.{int(found[1])}", ended.fence, ended.at_ms)


def _fates(record: dict[bytes, bytes]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in record.items():
        if not re.fullmatch(rb"f\d+\.\d+", name):
            continue
        ended = decode_outcome(name, value)
        if ended.attempt is None:
            assert ended.delivery is not None
            for recipient in ended.delivery.recipients:
                found[recipient.address].append(ended.fate)
        else:
            for result in ended.attempt.results:
                if result.fate != "deferred":
                    found[result.recipient].append(result.fate)
    return found


def _check_dsns(
    verdict: Verdict, store: ValkeyServer, taken: _Taken, due: set[str], unsure: set[str]
) -> None:
    """Each that was due came, and no other; as often as is counted."""
    verdict.dsns = len(taken.dsns)
    for message in due - taken.dsns.keys():
        verdict.lost += 1
        verdict.faults.append(f"DSN {message} never came")
    for message, often in taken.dsns.items():
        if message not in due and taken.about[message] in unsure:
            verdict.resubmitted += 1
        elif message not in due:
            verdict.faults.append(f"DSN {message} came, and was not due")
        _count_doubles(verdict, store, message, "a DSN", Counter({"": often}))
