"""The log: one record per fate of a recipient, and what happens besides, as JSON or for people.

A role calls `configure` once. Until then nothing is written for fates, and loggers speak to the
standard library's logging: whoever uses Relay as a library keeps his own.

    log.delivered(id, recipient, reply, host="mx.example", attempt=1)
    log.logger("relay.smtp").warning("listener closed", port=2525)

Recording a fate costs about 2 us: it is put on a queue, and a thread renders and writes it. A
process that is killed loses what it logged in its last 50 ms.
"""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import BinaryIO, Literal, Unpack

import structlog

from relay.log.addresses import Shown, concealing, plainly
from relay.log.records import About, Fate, Reception, Reported
from relay.log.render import processors, renderer
from relay.log.writer import Writer
from relay.mail.reply import Reply

Level = Literal["debug", "info", "warning", "error"]
#: The events that are recorded of messages and recipients.
EVENTS = frozenset(
    {
        *("accepted", "repeated", "refused"),
        *("delivered", "deferred", "bounced", "expired", "cancelled", "held"),
        *("dsn", "complained"),
    }
)

_writer: Writer | None = None
_events: Collection[str] = frozenset()
_handler: logging.Handler | None = None
_shown: Shown = plainly


class _Handler(logging.Handler):
    """Hands what the standard library's loggers say to the writer."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Render the record and have it written."""
        try:
            self._writer.put(self.format(record).encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - a log call fails nobody
            self.handleError(record)


def configure(
    format: Literal["json", "console"] = "json",  # noqa: A002 - the setting's own name
    level: Level = "info",
    *,
    events: Collection[str] = EVENTS,
    conceal: str = "",
    stream: BinaryIO | None = None,
) -> None:
    """Begin to log to `stream` (standard error), all of the process's loggers included.

    `events` chooses of which fates there are records; above level info there are none. Under the
    key `conceal` there are hashes in place of addresses' local parts, in these records; other
    loggers are told none of them (relay.log.addresses).
    """
    global _writer, _events, _handler, _shown
    close()
    _shown = concealing(conceal) if conceal else plainly
    out = stream or sys.stderr.buffer
    colours = format == "console" and out.isatty()
    _writer = Writer(out, renderer(format, colours=colours))
    _events = frozenset(events) if level in ("debug", "info") else frozenset()
    _handler = _Handler(_writer)
    _handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
            processors=processors(format, colours=colours),
        )
    )
    root = logging.getLogger()
    root.handlers = [_handler]
    root.setLevel(level.upper())


def flush() -> None:
    """Wait until all that was logged is written, five seconds at most."""
    if _writer is not None:
        _writer.flush()


@atexit.register
def close() -> None:
    """Write what waits, and go back to how it was before `configure`."""
    global _writer, _events, _handler
    if _handler is not None:
        logging.getLogger().removeHandler(_handler)
    if _writer is not None:
        _writer.close()
    _writer, _events, _handler = None, frozenset(), None


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for what is no fate: `.info("listening", port=2525)`."""
    bound: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return bound


def accepted(
    id: str,  # noqa: A002 - the record's field
    *,
    sender: str,
    recipients: int,
    size: int,
    origin: str,
    client: str = "",
    tenant: str = "",
    repeated: bool = False,
) -> None:
    """A message became durable; or was `repeated`, found accepted before."""
    event = "repeated" if repeated else "accepted"
    if _writer is not None and event in _events:
        _writer.put(
            Reception(
                timestamp=datetime.now(UTC),
                level="info",
                event=event,
                id=id,
                sender=_shown(sender),
                recipients=recipients,
                size=size,
                origin=origin,
                client=client,
                tenant=tenant,
            )
        )


def refused(
    reply: Reply,
    *,
    reason: str,
    origin: str,
    client: str = "",
    sender: str = "",
    recipient: str = "",
    tenant: str = "",
) -> None:
    """A message or a recipient was refused at submission."""
    if _writer is not None and "refused" in _events:
        _writer.put(
            Reception(
                timestamp=datetime.now(UTC),
                level="info",
                event="refused",
                reason=reason,
                origin=origin,
                client=client,
                sender=_shown(sender),
                recipient=_shown(recipient),
                tenant=tenant,
                code=reply.code,
                enhanced=reply.enhanced,
                text=_shown(reply.text),
            )
        )


def fate(
    event: str,
    id: str,  # noqa: A002 - the record's field
    recipient: str,
    reply: Reply | None = None,
    *,
    sender: str = "",
    **about: Unpack[About],
) -> None:
    """What became of a recipient: delivered, deferred, bounced, expired, cancelled or held; or it
    `complained` about the message.

    Recipient, reply and sender are cleaned here. All else must be of Relay's own making or checked
    before: a domain, a host's name from the DNS, an address.
    """
    if _writer is not None and event in _events:
        said = reply or _SILENCE
        _writer.put(
            Fate(
                timestamp=datetime.now(UTC),
                level="info",
                event=event,
                id=id,
                sender=_shown(sender),
                recipient=_shown(recipient),
                code=said.code,
                enhanced=said.enhanced,
                text=_shown(said.text),
                **about,
            )
        )


def reported(id: str, *, about: str, sender: str, recipients: int) -> None:  # noqa: A002
    """A DSN was submitted under `id`, about so many recipients of the message `about`."""
    if _writer is not None and "dsn" in _events:
        _writer.put(
            Reported(
                timestamp=datetime.now(UTC),
                level="info",
                event="dsn",
                id=id,
                about=about,
                sender=_shown(sender),
                recipients=recipients,
            )
        )


_SILENCE = Reply(0)
