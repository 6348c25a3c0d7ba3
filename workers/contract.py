"""What a worker asks of the engine that delivers: the whole face between Celery and Relay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct


class Stop(StrEnum):
    """How a worker is told to end."""

    #: SIGTERM: lease no more, release what has not begun, abort what is before its final dot at
    #: half of the grace time, and settle all.
    WARM = "warm"
    #: SIGQUIT with a soft time: the same within that time.
    SOFT = "soft"
    #: SIGQUIT: abort now whatever is before its final dot, and settle what can be settled.
    COLD = "cold"


class WorkerInfo(Struct, frozen=True):
    """Who the engine works for."""

    #: The node name, such as `celery@host`: unique among the workers.
    hostname: str
    pid: int
    #: Celery tasks that run at once at most; the fleet's slots are the sum of these.
    concurrency: int
    #: The lists in the broker that this worker consumes.
    queues: tuple[str, ...]


class Progress(Struct, frozen=True):
    """What the watchdog compares. `done` only grows; it counts whatever was finished."""

    done: int
    #: What could be worked on at once and is not: parked or held queues do not count.
    waiting: int


class Engine(Protocol):
    """One per process. All but `progress` is called on the pool's loop.

    Made by the factory that the setting `relay_engine` names, which takes no arguments and is
    called on the loop, so that whatever it makes belongs to it.
    """

    async def start(self, worker: WorkerInfo) -> None:
        """Open what is needed. An exception ends the worker with its text."""

    async def drain(self, queues: Sequence[str]) -> None:
        """Take these queues ("<partition>/<name>") on; returns once they are handed over."""

    async def submit(self, fields: Mapping[str, Any]) -> str:
        """Accept a message, durably, and return its id. Raises SubmissionRefused or ValueError."""

    def attempts(self) -> list[dict[str, Any]]:
        """The attempts that run now, as JSON fields, for `inspect relay_attempts`."""

    async def hold(self, *, queue: str, tenant: str, on: bool) -> None:
        """Hold or release all deliveries of a queue (a domain) or of a tenant, in the fleet.

        Raises ValueError where neither is named, StoreUnavailable.
        """

    async def pump(self) -> None:
        """Ring what came due or whose deadline passed; called again and again, in every worker."""

    def progress(self) -> Progress:
        """For the watchdog, from its own thread: counters only, never a wait."""

    async def stop(self, mode: Stop, grace: float) -> None:
        """End within `grace` seconds. Called again with COLD when there is no more time."""
