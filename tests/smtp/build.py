"""Short ways to say what the tests of the SMTP client begin with."""

from __future__ import annotations

from typing import Any

from relay.mail.outcome import Failure
from relay.smtp.connect import connect
from relay.smtp.options import ConnectOptions, Target
from relay.smtp.session import Session
from relay.smtp.transaction import Transaction
from tests.support.driver import Recorder
from tests.support.mx import Mx
from tests.support.sink import Sink

CONTENT = b"Subject: hello\r\n\r\nhello\r\n"


def message(token: object = 1, *recipients: str, **others: Any) -> Transaction:
    """A transaction to a@s.example, or to others, of short content."""
    body: bytes = others.get("body", CONTENT)
    fields: dict[str, Any] = {"sender": "from@r.example", "body": body, "size": len(body or b"")}
    return Transaction(recipients=recipients or ("a@s.example",), token=token, **(fields | others))


def target(server: Mx | Sink, host: str = "mx.example") -> Target:
    return Target(host, "127.0.0.1", server.port)


def options(**others: Any) -> ConnectOptions:
    return ConnectOptions(hello="relay.example", permitted=lambda address: True, **others)


async def session_with(server: Mx | Sink, **others: Any) -> Session:
    session = await connect(target(server), options(**others))
    assert not isinstance(session, Failure), session
    return session


async def run(server: Mx | Sink, recorder: Recorder, events: int, **others: Any) -> None:
    """A session over which the recorder's transactions go, until so many events were heard; then
    it is ended."""
    session = await session_with(server, **others)
    session.start(recorder)
    await recorder.until_heard(events)
    session.quit()
    await recorder.until_closed()
    assert recorder.closed_times == 1
