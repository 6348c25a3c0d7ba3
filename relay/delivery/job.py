"""A job: a leased delivery in this process's hands, from the grant to its settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.store.leasing import Lease

if TYPE_CHECKING:
    from relay.delivery.path import EgressPath
    from relay.delivery.table import Standing
    from relay.smtp.session import Session


class Job:
    """One attempt in the making. Times are of the loop's clock, in seconds."""

    __slots__ = (
        "attempted_at",
        "breaks",
        "content",
        "lease",
        "leased_at",
        "missing",
        "octets",
        "path",
        "ready_at",
        "session",
        "standing",
    )

    def __init__(self, lease: Lease, path: EgressPath, now: float, standing: Standing) -> None:
        self.lease = lease
        self.path = path
        self.leased_at = now
        #: How its site stood when it was taken.
        self.standing = standing
        #: Octets of content that the attempt table counts for it.
        self.octets = 0
        #: The session that sends it.
        self.session: Session | None = None
        #: When its content was at hand, so that it could be sent.
        self.ready_at = 0.0
        #: When it was first given to a session.
        self.attempted_at = 0.0
        #: The content in one piece; None before it is loaded, and where it lies in chunks.
        self.content: bytes | None = None
        #: Some of its chunks are not in the store.
        self.missing = False
        #: Sessions that ended under it before its final dot.
        self.breaks = 0
