"""A driver that gives a session what it is told to, and writes down what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from relay.mail.exchange import RecipientReply
from relay.mail.outcome import Failure
from relay.smtp.session import Session
from relay.smtp.transaction import Transaction


class Finished(NamedTuple):
    """`replies` as texts such as `recipient 550 5.1.1 who?`."""

    token: object
    replies: tuple[str, ...]


class Broken(NamedTuple):
    """`failure` as text, such as `host 421 4.3.2 bye`."""

    token: object
    failure: str
    in_doubt: bool
    phase: str


class Recorder:
    """Gives `transactions` in order; `heard` is all that the session told, in order."""

    def __init__(self, transactions: Iterable[Transaction] = ()) -> None:
        self.waiting = list(transactions)
        self.heard: list[Finished | Broken] = []
        self.closed_times = 0
        self.permit = True
        #: Called after each event, with the session.
        self.react: Callable[[Session], None] = lambda session: None
        self._changed = asyncio.Event()

    def next_transaction(self, session: Session) -> Transaction | None:
        return self.waiting.pop(0) if self.waiting else None

    def may_finish(self, session: Session, transaction: Transaction) -> bool:
        return self.permit

    def finished(
        self, session: Session, transaction: Transaction, replies: Sequence[RecipientReply]
    ) -> None:
        texts = tuple(f"{answer.scope} {answer.reply}" for answer in replies)
        assert len(texts) == len(transaction.recipients)
        self._note(session, Finished(transaction.token, texts))

    def broken(
        self, session: Session, transaction: Transaction, failure: Failure, in_doubt: bool
    ) -> None:
        text = f"{failure.scope} {failure.reply}"
        self._note(session, Broken(transaction.token, text, in_doubt, failure.phase))

    def closed(self, session: Session) -> None:
        self.closed_times += 1
        self._changed.set()

    def _note(self, session: Session, event: Finished | Broken) -> None:
        assert not self.closed_times
        self.heard.append(event)
        self._changed.set()
        self.react(session)

    async def until(self, happened: Callable[[Recorder], bool]) -> None:
        """Wait until it happened."""
        async with asyncio.timeout(10):
            while not happened(self):
                self._changed.clear()
                await self._changed.wait()

    async def until_heard(self, count: int) -> None:
        """Wait for so many events."""
        await self.until(lambda recorder: len(recorder.heard) >= count)

    async def until_closed(self) -> None:
        """Wait for the end of the session."""
        await self.until(lambda recorder: recorder.closed_times > 0)
