"""The exchange of one mail transaction: which command a reply answers, and what to do next.

Without I/O: a session feeds replies in the order in which they come, with or without pipelining
(RFC 2920), and is told the next step; at the end each recipient has a reply.
"""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct

from relay.mail.outcome import Scope
from relay.mail.reply import Reply


class RecipientReply(Struct, frozen=True):
    """The reply that decided a recipient's fate in a transaction, and what the reply speaks for."""

    reply: Reply
    scope: Scope


class Step(Enum):
    """What to do after a reply."""

    WAIT = auto()
    #: Without pipelining: say the next command.
    COMMAND = auto()
    #: Send the content and the final dot.
    CONTENT = auto()
    #: DATA was accepted though no recipient was: send a dot alone (RFC 2920 section 3.1).
    LONE_DOT = auto()
    DONE = auto()
    #: The reply makes no sense here, so the server's state is unknown: end the session.
    NONSENSE = auto()


class Exchange:
    """One transaction under way.

    `reset` says that the first command is RSET, because the transaction before was left open;
    `chunked` that the content goes by BDAT, so that there is no DATA (RFC 3030).
    """

    __slots__ = (
        "_accepted",
        "_answers",
        "_at",
        "_onward",
        "_pipelined",
        "_recipients",
        "_refusal",
        "chunked",
        "dotted",
    )

    def __init__(
        self, recipients: int, *, pipelined: bool, reset: bool = False, chunked: bool = False
    ) -> None:
        self.chunked = chunked
        #: The final dot was written, or what stands for it.
        self.dotted = False
        self._recipients = recipients
        self._pipelined = pipelined
        self._onward = Step.WAIT if pipelined else Step.COMMAND
        # The command whose reply comes next: -1 RSET, 0 MAIL, then each RCPT, DATA, the final dot.
        self._at = -1 if reset else 0
        self._accepted = 0
        self._refusal: RecipientReply | None = None
        self._answers: list[RecipientReply | None] = []

    @property
    def phase(self) -> str:
        """The command that awaits its reply: reset, mail, rcpt, data, content or dot."""
        at = self._at
        if at <= 0:
            return "mail" if at == 0 else "reset"
        if at <= self._recipients:
            return "rcpt"
        if at == self._recipients + 1:
            return "data"
        return "dot" if self.dotted or not self._accepted else "content"

    @property
    def known(self) -> bool:
        """Each recipient's fate is decided, whatever else happens to the session."""
        return self._refusal is not None or (self._at > self._recipients and not self._accepted)

    @property
    def left_open(self) -> bool:
        """The server still holds an envelope: the next MAIL needs an RSET before it."""
        # With its reply to the final dot the server clears its buffers (RFC 5321 4.1.1.4).
        return self._at <= self._recipients + 2 and self._refusal is None

    def take(self, reply: Reply) -> Step:
        """Pair the reply with its command. A 421 is for the session, it must not come here."""
        at = self._at
        self._at = at + 1
        if 1 <= at <= self._recipients:
            return self._recipient(reply)
        if at == 0:
            return self._sender(reply)
        if at == self._recipients + 1:
            return self._data(reply)
        if at > 0:
            return self.end(reply)
        if not reply.positive:
            return self._stuck(at)
        return self._onward

    def end(self, reply: Reply) -> Step:
        """Decide what is undecided by `reply`, which speaks for the message."""
        if self._refusal is None:
            ending = RecipientReply(reply, Scope.MESSAGE)
            self._answers = [answer or ending for answer in self._answers]
        return Step.DONE

    def results(self) -> list[RecipientReply]:
        """One for each recipient, in order. Only to be asked for when done, or when `known`."""
        if self._refusal is not None:
            return [self._refusal] * self._recipients
        return [answer for answer in self._answers if answer is not None]

    def _sender(self, reply: Reply) -> Step:
        if not reply.positive:
            self._refusal = RecipientReply(reply, Scope.MESSAGE)
            if not self._pipelined:
                return Step.DONE
        return self._onward

    def _recipient(self, reply: Reply) -> Step:
        if reply.positive and self._refusal is None:
            self._accepted += 1
            self._answers.append(None)
        else:
            self._answers.append(RecipientReply(reply, Scope.RECIPIENT))
        if self.chunked and self._at > self._recipients:
            return self._chunks()
        if not self._pipelined and self._at > self._recipients and not self._accepted:
            return Step.DONE
        return self._onward

    def _chunks(self) -> Step:
        """Nothing is said that could be refused before the content itself."""
        if not self._accepted:
            return Step.DONE
        self._at += 1
        return Step.CONTENT

    def _data(self, reply: Reply) -> Step:
        if 300 <= reply.code < 400:
            return Step.CONTENT if self._accepted else Step.LONE_DOT
        if reply.code < 400:
            return self._stuck(self._at - 1)
        return self.end(reply)

    def _stuck(self, at: int) -> Step:
        # So that `phase` names the command to which no sense was answered.
        self._at = at
        return Step.NONSENSE
