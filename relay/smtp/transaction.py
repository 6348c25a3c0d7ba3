"""What a session is given to send, and whom it asks and tells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from relay.mail.exchange import RecipientReply
from relay.mail.outcome import Failure

if TYPE_CHECKING:
    from relay.smtp.session import Session


class Transaction(Struct, frozen=True, eq=False):
    """One message to some recipients. Content is CRLF lines, not dot-stuffed: either in one piece,
    `body`, or as `chunks`, a function that begins to read it."""

    #: `""` for the null reverse-path.
    sender: str
    recipients: tuple[str, ...]
    #: Octets of content.
    size: int
    eight_bit: bool = False
    smtputf8: bool = False
    body: bytes | None = None
    chunks: Callable[[], AsyncIterator[bytes]] | None = None
    #: Content that is not made of lines: it goes by BDAT, and to no host that does not know that.
    binary: bool = False
    #: RET and ENVID of RFC 3461, and for each recipient NOTIFY and ORCPT, or none at all: told to a
    #: host that knows DSN.
    ret: str = ""
    envid: str = ""
    notify: tuple[tuple[str, str], ...] = ()
    #: MT-PRIORITY of RFC 6710, told to a host that knows it.
    mt_priority: int = 0
    #: REQUIRETLS of RFC 8689; from a sender it goes to no host that does not know that.
    require_tls: bool = False
    #: BY of RFC 2852: the seconds that are left, and R or N, with T for a trace; "" where there is
    #: none. With R it goes to no host that does not know that.
    by_seconds: int = 0
    by_mode: str = ""
    #: The driver's own; the session does not look at it.
    token: Any = None


class Driver(Protocol):
    """What a session asks and tells. Everything is called on the loop and must not block.

    For each transaction that `next_transaction` gave, exactly one of `finished` and `broken` is
    called.
    """

    def next_transaction(self, session: Session) -> Transaction | None:
        """What to send next; None lets the session go idle until `poke`. Asked also while the
        transaction before still waits for the reply to its final dot."""

    def may_finish(self, session: Session, transaction: Transaction) -> bool:
        """Whether the final dot may be written now, when all before it has left this process.
        False: the connection is aborted, the transaction was not sent."""

    def finished(
        self, session: Session, transaction: Transaction, replies: Sequence[RecipientReply]
    ) -> None:
        """Each recipient has its reply, in the order of `transaction.recipients`."""

    def broken(
        self, session: Session, transaction: Transaction, failure: Failure, in_doubt: bool
    ) -> None:
        """The session ended first. `in_doubt`: the final dot was written and no reply to it came,
        so that the host may have taken the message."""

    def closed(self, session: Session) -> None:
        """The session is gone; nothing is called after this."""
