"""Settings of the two servers behind Relay: the store, which is the record, and Celery's broker."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from relay.config.values import BrokerUrl, Duration, Group, Indexed, ServerUrl, Size


class StoreSettings(Group):
    """The queue of record: a Redis or Valkey server with an append-only file."""

    url: ServerUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="Where the store is: redis://, rediss:// or unix:///path, or "
        "redis+sentinel://host,host,host/name for a primary that sentinels watch, or "
        "redis+cluster://host,host,host (docs/operations.md, Stores). Within reach of a running "
        "`relay up` that one's store is taken where nothing else names one.",
    )
    durability: Literal["fsync", "replicated", "relaxed"] = Field(
        default="fsync",
        description="What must have happened before a message is accepted. fsync: it is on the "
        "store's disk (`appendfsync always`). replicated: and on those of `store.replicas` "
        "replicas, so that it survives the loss of the primary. relaxed: the store has it, and "
        "syncs every second: a crash of its machine loses the last one. A store that promises "
        "less is refused.",
    )
    replicas: int = Field(
        default=0,
        ge=0,
        le=100,
        description='How many replicas must have a message with `durability = "replicated"`. '
        "0: all that are there at the start but one, and one at least. The store's "
        "`min-replicas-to-write` must be as many.",
    )
    partitions: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Parts the queue is split into: 1 on one server or Sentinel, on a cluster a "
        "multiple of its primaries, such as 12 for three. Fixed when the store is first used, and "
        "refused if it differs then.",
    )
    timeout: Duration = Field(
        default=60.0,
        ge=1,
        le=600,
        description="How long one call to the store is repeated before it counts as unavailable.",
    )
    idempotency: Duration = Field(
        default=24 * 3600.0,
        ge=600,
        le=30 * 24 * 3600,
        description="How long an idempotency key stands for its message: submitted again, it is "
        "answered with the first one's id and not sent again.",
    )
    index: Indexed = Field(
        default=(),
        description="By what messages can be listed besides state, domain, tenant and time: "
        "recipients, tags, or both (docs/http.md, Lists). It takes about 107 octets of the store's "
        "memory for each recipient, and for each tag of each delivery, until the message's record "
        "goes. Set it for all processes alike: what one accepts that has it not is not found.",
    )
    maxmemory: Size = Field(
        default=0,
        ge=0,
        description="Memory `relay up` gives its store; 0 stands for half of the machine's.",
    )
    memory_high: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="Share of the store's maxmemory above which no more messages are accepted "
        "(452): what finishes messages still has room to run.",
    )
    tenant_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Share of that for one tenant's messages, once half of it is used: who has "
        "more is refused first (452). Messages without a tenant have no such limit. 1: nobody has.",
    )
    disk_low: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the disk of the append-only file that must be free for messages "
        "to be accepted (452 otherwise).",
    )


class BrokerSettings(Group):
    """Celery's broker: wake-ups only, nothing in it needs to last."""

    url: BrokerUrl = Field(
        default="redis://127.0.0.1:6379/1",
        description="Where the broker is: redis://, rediss:// or unix:///path, or "
        "redis+sentinel://host,host,host/name. A server of its own "
        "without a disk is best; another logical database of the store's server will do.",
    )


class LeaseSettings(Group):
    """The time-limited right of one worker to one attempt."""

    seconds: Duration = Field(
        default=30.0,
        ge=1,
        le=30,
        description="Life of a lease; workers renew it while an attempt runs. The deliveries of "
        "a dead worker are attempted again within twice this time.",
    )
    deadline: Duration = Field(
        default=10.0,
        ge=1,
        le=300,
        description="How long a wake-up may go unanswered before its queue is rung again.",
    )
