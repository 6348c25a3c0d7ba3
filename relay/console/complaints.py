"""Taking complaints in: whose message one is about, and noting it once."""

from __future__ import annotations

from msgspec import Struct

from relay.errors import NoSuchMessage
from relay.mail.feedback import Feedback
from relay.mail.ids import is_message_id
from relay.store.client import StoreClient
from relay.store.complaints import Complaints


class ComplaintView(Struct, frozen=True):
    """What was done about a complaint."""

    #: The message that it is about.
    message: str
    tenant: str
    #: "" where the report does not tell.
    recipient: str
    kind: str
    #: noted; repeated: this recipient has complained about the message before; full: too many
    #: have, and no more of them are noted.
    answer: str


class ComplaintDesk:
    """Every call may be said again, and raises StoreUnavailable."""

    def __init__(self, client: StoreClient, partitions: int, hostname: str) -> None:
        """`hostname`: as Received fields name this relay."""
        self._complaints = Complaints(client, partitions)
        self._hostname = hostname.lower()

    async def take(
        self, about: Feedback, *, tenant: str = "", sees: str | None = None
    ) -> ComplaintView:
        """Note what a report says. Raises NoSuchMessage where it is about none of ours.

        `tenant` counts where the message's record is gone; `sees` is the tenant whose messages
        may be complained about, None for all.
        """
        message, found = await self._message(about)
        return await self._note(message, found, about.recipient, about.kind, tenant, sees)

    async def take_about(
        self, message: str, recipient: str, kind: str, *, tenant: str = "", sees: str | None = None
    ) -> ComplaintView:
        """The same for a message that is known by its id."""
        if not is_message_id(message) or not self._complaints.is_ours(message):
            raise NoSuchMessage(f"{message} is no id of a message in this store")
        found = await self._complaints.tenant_of(message)
        return await self._note(message, found, recipient, kind, tenant, sees)

    async def _message(self, about: Feedback) -> tuple[str, str | None]:
        """The message that passed here last, and its tenant where there still is a record."""
        ours = [one for one in about.passed if self._complaints.is_ours(one[1])]
        for _, message in ours:
            tenant = await self._complaints.tenant_of(message)
            if tenant is not None:
                return message, tenant
        for host, message in ours:
            if host == self._hostname:
                return message, None
        names = ", ".join(dict.fromkeys(host for host, _ in about.passed))
        raise NoSuchMessage(f"it is about a message that passed {names}, not this relay")

    async def _note(
        self,
        message: str,
        found: str | None,
        recipient: str,
        kind: str,
        tenant: str,
        sees: str | None,
    ) -> ComplaintView:
        whose = tenant if found is None else found
        if sees is not None and found is not None and found != sees:
            raise NoSuchMessage(f"{message}: no such message")
        word, _ = await self._complaints.note(message, whose, recipient, kind)
        return ComplaintView(message, whose, recipient, kind, word)
