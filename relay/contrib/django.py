"""Django's mail through Relay: `EMAIL_BACKEND = "relay.contrib.django.EmailBackend"`.

    RELAY = {"url": "https://relay.example", "token": "..."}    # or the store's URL and broker

Without `RELAY` the servers are found as every command finds them. Besides what Django knows, a
message may have the attributes that anymail gives a meaning: `tags`, `metadata`, `send_at`,
`envelope_sender`; `esp_extra` has any other field of `relay.Message`. After sending it
has `relay_id`, and `anymail_status.message_id` for what reads that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from email.utils import parseaddr
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import sanitize_address
from django.utils import timezone

from relay import Message, Relay
from relay.api import Accepted
from relay.errors import RelayError

_lock = threading.Lock()
_clients: dict[tuple[tuple[str, Any], ...], Relay] = {}


class EmailBackend(BaseEmailBackend):
    """Submits messages; they are durable when `send_messages` returns.

    Keyword arguments go before the setting RELAY: url, broker, token, timeout. Errors are those of
    `relay.errors`, unless `fail_silently`.
    """

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        super().__init__(fail_silently=fail_silently)
        known = ("url", "broker", "token", "timeout", "tenant")
        given = dict(getattr(settings, "RELAY", {}))
        given |= {name: options[name] for name in known if options.get(name) is not None}
        self._tenant = given.pop("tenant", "")
        self._options = given

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """How many messages were accepted; those with no recipient are not counted."""
        wanted = [one for one in email_messages if one.recipients()]
        if not wanted:
            return 0
        made: list[tuple[EmailMessage, Message]] = []
        try:
            for one in wanted:
                made.append((one, self._made(one)))
            client = _client(self._options)
            results = client.submit_many((message for _, message in made), return_errors=True)
        except (RelayError, ValueError):
            if not self.fail_silently:
                raise
            return 0
        errors = []
        for (one, _), result in zip(made, results, strict=True):
            if isinstance(result, Accepted):
                one.relay_id = result.id  # type: ignore[attr-defined]
                one.anymail_status = SimpleNamespace(  # type: ignore[attr-defined]
                    message_id=result.id, status={"queued"}
                )
            else:
                errors.append(result)
        if errors and not self.fail_silently:
            raise errors[0]
        return len(made) - len(errors)

    def _made(self, email: EmailMessage) -> Message:
        """The message as Django writes it, for Django's recipients, with what anymail adds."""
        encoding = email.encoding or settings.DEFAULT_CHARSET
        extra: dict[str, Any] = dict(getattr(email, "esp_extra", None) or {})
        sender = getattr(email, "envelope_sender", None)
        if sender is None:
            sender = parseaddr(sanitize_address(email.from_email, encoding))[1]
        return Message(
            **{
                "raw": email.message().as_bytes(),
                "to": tuple(
                    parseaddr(sanitize_address(address, encoding))[1]
                    for address in email.recipients()
                ),
                "envelope_sender": sender,
                "tenant": self._tenant,
                "tags": tuple(getattr(email, "tags", None) or ()),
                "metadata": {
                    str(name): str(value)
                    for name, value in (getattr(email, "metadata", None) or {}).items()
                },
                "send_at": _moment(getattr(email, "send_at", None)),
                **extra,
            }
        )


def _moment(at: datetime | date | float | None) -> datetime | None:
    """What anymail takes for `send_at`: naive times are of Django's own zone."""
    if at is None:
        return None
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, UTC)
    if not isinstance(at, datetime):
        at = datetime.combine(at, time.min)
    return timezone.make_aware(at) if timezone.is_naive(at) else at


def _client(options: dict[str, Any]) -> Relay:
    """One client for a process and its options, however many backends Django makes."""
    key = tuple(sorted(options.items()))
    with _lock:
        client = _clients.get(key)
        if client is None:
            client = _clients[key] = Relay(**options)
        return client
