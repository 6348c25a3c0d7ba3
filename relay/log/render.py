"""How log lines look: one JSON object a line, or aligned text for people; harmless either way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from relay.log.records import Record
from relay.mail.text import printable

#: Characters of one value at most.
MOST = 500
#: Lines of a traceback at most: the last ones say what happened.
_MOST_TRACEBACK = 60
_SECRETS = ("password", "passwd", "secret", "token", "authorization", "cookie", "credential")

_encoder = msgspec.json.Encoder(enc_hook=repr)


def renderer(format: str, *, colours: bool) -> Callable[[Record], bytes]:  # noqa: A002
    """What turns a record into a line."""
    if format == "json":
        return _encoder.encode
    console = _console(colours)

    def line(record: Record) -> bytes:
        fields = {
            name: printable(value, MOST) if isinstance(value, str) else value
            for name, value in msgspec.structs.asdict(record).items()
            if value not in ("", 0, 0.0)
        }
        fields["timestamp"] = record.timestamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return str(console(None, "", fields)).encode("utf-8", "backslashreplace")

    return line


def processors(format: str, *, colours: bool) -> list[Processor]:  # noqa: A002
    """What turns what a logger said into a line."""
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _harmless,
        structlog.processors.format_exc_info,
        _traceback,
        _json if format == "json" else _console(colours),
    ]


def _console(colours: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=colours, pad_event_to=12, exception_formatter=structlog.dev.plain_traceback
    )


def _harmless(_logger: WrappedLogger, _method: str, said: EventDict) -> EventDict:
    for name, value in said.items():
        if any(secret in name.lower() for secret in _SECRETS):
            said[name] = "***"
        elif isinstance(value, str):
            said[name] = printable(value, MOST)
        elif name != "exc_info" and not isinstance(value, int | float | None):
            said[name] = printable(repr(value), MOST)
    return said


def _traceback(_logger: WrappedLogger, _method: str, said: EventDict) -> EventDict:
    if "exception" in said:
        lines = str(said["exception"]).splitlines()[-_MOST_TRACEBACK:]
        said["exception"] = "\n".join(printable(line, MOST) for line in lines)
    return said


def _json(_logger: WrappedLogger, _method: str, said: EventDict) -> str:
    first: dict[str, Any] = {name: said.pop(name, "") for name in ("timestamp", "level", "event")}
    return _encoder.encode({**first, **said}).decode()
