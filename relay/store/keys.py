"""Every key of the queue: its name, its type and what it holds. The data model on one page.

All keys of one partition share a hash tag, so that they lie in one slot of a Redis Cluster and one
script can change them together:

| key `relay:{pNN}:` | type | holds |
|---|---|---|
| `deliveries` | hash | delivery id -> header and body (`relay.store.codec`) |
| `later` | zset | delivery id -> when it is due, ms |
| `ready` | zset, score 0 | `queue|lane|ms|id`: due, first in first out within a lane |
| `turns` | zset, score 0 | `queue|virtual time|lane`: lanes with ready deliveries, next one first |
| `clock` | hash | queue -> its virtual time |
| `leased` | zset | delivery id -> when the lease expires, ms |
| `held` | zset | delivery id -> held since, ms |
| `age` | zset | delivery id -> accepted at, ms |
| `expiry` | zset | delivery id -> when it expires, ms, where the message says so itself |
| `late` | zset | delivery id -> when its sender is to hear that it is late, ms |
| `wake` | zset | queue with ready deliveries -> when to ring it next, ms |
| `reasons` | hash | parked queue -> until when, ms, and the site's last reply |
| `paused` | hash | `q:<queue>` or `t:<tenant>` -> since when and why it is held as a whole |
| `aside` | zset, score 0 | `tenant|queue|lane`: lanes without a turn, as their tenant is held |
| `events` | stream | the outbox: delivery id (message id for accepted) -> kind and fence |
| `cursors` | hash | consumer of events -> id of the last one applied |
| `seen` | string | when leases were last looked at, and until when none is reclaimed, ms |
| `shares` | hash | tenant -> octets that its open messages take up |
| `index` | zset, score 0 | `term|tenant|id`: by recipient and tag (`relay.store.index`) |
| `forgetting`, `forgetting:turn` | strings, TTL | how far the index was looked through, and when |
| `m:<id>` | hash | a message's record: the fields below |
| `c:<id>`, `c:<id>:<k>` | string | content, whole or in chunks |
| `j:<id>` | hash, TTL | complaints about a message: the fields below |
| `i:<hash>` | string, TTL | idempotency key -> message id and fingerprint |
| `g:<holder>` | string, TTL | the last grant of leases to a holder |
| `suspects` | hash | what is known of lost leases: scripts/lib/suspicion.lua has the fields |
| `roles:<consumer>` | string, TTL | who projects the events for a consumer |

Fields of a record: `m` as accepted; `o` open deliveries; `k` claims on the content, and each as
`k<n>.<fence>` with the delivery as it was attempted; `f<n>.<fence>` final outcomes; `a<n>.<slot>`
deferrals; `e<n>` ended by an operator, `r<n>` with this reply once its lease ends;
`l<n>.<fence>.<holder>` leases that the store lost; `p` possible doubles; `w`
admitted again; `b` what it counts for in `shares`.

Fields of complaints: `n` how many; `t` the tenant; `#<n>` time, kind and recipient of one;
`@<recipient>` token and number of that one's.

A value of `paused` begins with h (held) or u (its lanes are being given back), 13 digits of time
and then the reason. The empty field of `cursors` is trim's.

A *queue* is what waits for one domain through one egress pool: the domain for the default pool.
A *lane* is the first letter of the class and the tenant.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import cache

from relay.mail.envelope import Priority
from relay.store.script import Script, Text, numbered

#: Content above this many octets is stored, read and sent in chunks of at most as many.
CHUNK = 256 * 1024

#: Slots of a Redis Cluster.
_SLOTS = 16384

#: The version of the records that writers write, the number of partitions, and what is indexed.
SCHEMA = "relay:schema"


def sts_policy(domain: str) -> str:
    """A domain's MTA-STS policy, shared by all workers: a string with a TTL."""
    return f"relay:sts:{domain}"


def slot_of(key: Text) -> int:
    """The slot of a Redis Cluster that a key lies in: CRC-16/XMODEM of its hash tag, or of it."""
    octets = key if isinstance(key, bytes) else str(key).encode()
    start = octets.find(b"{") + 1
    end = octets.find(b"}", start) if start else -1
    return crc_hqx(octets[start:end] if end > start else octets, 0) % _SLOTS


@cache
def tag(partition: int, partitions: int) -> str:
    """The hash tag of a partition: those of all are spread evenly over the slots."""
    tried = 0
    while True:
        candidate = f"p{partition:02d}" if tried == 0 else f"p{partition:02d}.{tried}"
        if partitions == 1 or slot_of(candidate) * partitions // _SLOTS == partition:
            return candidate
        tried += 1


class PartitionKeys:
    """The names of one partition's keys."""

    __slots__ = (
        "_of",
        "age",
        "aside",
        "clock",
        "cursors",
        "deliveries",
        "events",
        "expiry",
        "forgetting",
        "held",
        "index",
        "late",
        "later",
        "leased",
        "paused",
        "prefix",
        "ready",
        "reasons",
        "seen",
        "shares",
        "suspects",
        "turns",
        "wake",
    )

    def __init__(self, partition: int, partitions: int) -> None:
        self._of: dict[Script, list[Text]] = {}
        self.prefix = prefix = f"relay:{{{tag(partition, partitions)}}}:"
        self.deliveries = prefix + "deliveries"
        self.late = prefix + "late"
        self.later = prefix + "later"
        self.ready = prefix + "ready"
        self.turns = prefix + "turns"
        self.clock = prefix + "clock"
        self.leased = prefix + "leased"
        self.held = prefix + "held"
        self.age = prefix + "age"
        self.expiry = prefix + "expiry"
        self.wake = prefix + "wake"
        self.reasons = prefix + "reasons"
        self.paused = prefix + "paused"
        self.aside = prefix + "aside"
        self.events = prefix + "events"
        self.cursors = prefix + "cursors"
        self.seen = prefix + "seen"
        self.shares = prefix + "shares"
        self.suspects = prefix + "suspects"
        self.index = prefix + "index"
        self.forgetting = prefix + "forgetting"

    def of(self, what: Script) -> list[Text]:
        """The keys of a script that its header numbers and that a partition has one of each."""
        known = self._of.get(what)
        if known is None:
            known = self._of[what] = [getattr(self, name) for name in numbered(what)]
        return known.copy()

    def record(self, message: str) -> str:
        """The record of a message."""
        return f"{self.prefix}m:{message}"

    def content(self, message: str) -> str:
        """The content of a message that is stored in one piece."""
        return f"{self.prefix}c:{message}"

    def contents(self, message: str, chunks: int) -> list[str]:
        """All keys that hold a message's content: one, or one a chunk."""
        if not chunks:
            return [f"{self.prefix}c:{message}"]
        return [f"{self.prefix}c:{message}:{k}" for k in range(chunks)]

    def idempotency(self, digest: str) -> str:
        """What an idempotency key stands for."""
        return f"{self.prefix}i:{digest}"

    def complaints(self, message: str) -> str:
        """The complaints about a message."""
        return f"{self.prefix}j:{message}"

    def grant(self, holder: str) -> str:
        """The last grant of leases to a holder."""
        return f"{self.prefix}g:{holder}"

    def role(self, consumer: str) -> str:
        """Who projects the events for a consumer."""
        return f"{self.prefix}roles:{consumer}"


@cache
def partition_keys(partition: int, partitions: int) -> PartitionKeys:
    """The keys of one of `partitions` partitions."""
    return PartitionKeys(partition, partitions)


def lane(priority: Priority, tenant: str) -> str:
    """The lane of a class and a tenant."""
    return priority[0] + tenant


def reference(partition: int, queue: str) -> str:
    """A queue of a partition in one word, as wake-ups carry it."""
    return f"{partition}/{queue}"


def parse_reference(text: str) -> tuple[int, str]:
    """The partition and queue that a reference names. Raises ValueError for anything else."""
    partition, slash, queue = text.partition("/")
    if not slash or not queue:
        raise ValueError(f"not a queue reference: {text!r}")
    return int(partition), queue
