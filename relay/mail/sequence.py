"""The sequence of commands: the states of a reception, and which command leads from which to which.

RFC 5321 section 4.1.4. What has no edge in the table is out of sequence and changes nothing.
"""

from __future__ import annotations

from enum import Enum

from relay.mail import answers
from relay.mail import command as commands
from relay.mail.command import Command, Refused
from relay.mail.reply import Reply


class State(Enum):
    """How far the session and its transaction are."""

    START = "before EHLO or HELO"
    READY = "between transactions"
    SENDER = "MAIL was accepted"
    RECIPIENTS = "a recipient was accepted"
    CONTENT = "content comes in"
    CHUNKS = "a chunk of the content was accepted"
    LOGIN = "a challenge awaits its answer"
    CHECKING = "a login awaits its answer"
    ADMITTING = "a message awaits its answer"
    HANDSHAKE = "TLS begins"
    CLOSED = "nothing is read any more"

    # As of any object: Enum's own is made of the name anew, each time a table is asked.
    __hash__ = object.__hash__


#: Where an accepted command leads.
TRANSITIONS: dict[State, dict[type[Command], State]] = {
    State.START: {
        commands.Ehlo: State.READY,
        commands.Helo: State.READY,
        commands.Rset: State.START,
        commands.Noop: State.START,
        commands.Vrfy: State.START,
        commands.Help: State.START,
        commands.Quit: State.CLOSED,
        commands.XClient: State.CHECKING,
    },
    State.READY: {
        commands.Ehlo: State.READY,
        commands.Helo: State.READY,
        commands.Mail: State.SENDER,
        commands.StartTls: State.HANDSHAKE,
        commands.Auth: State.LOGIN,
        commands.XClient: State.CHECKING,
        commands.Rset: State.READY,
        commands.Noop: State.READY,
        commands.Vrfy: State.READY,
        commands.Help: State.READY,
        commands.Quit: State.CLOSED,
    },
    State.SENDER: {
        commands.Ehlo: State.READY,
        commands.Helo: State.READY,
        commands.Rcpt: State.RECIPIENTS,
        commands.Rset: State.READY,
        commands.Noop: State.SENDER,
        commands.Vrfy: State.SENDER,
        commands.Help: State.SENDER,
        commands.Quit: State.CLOSED,
    },
    State.RECIPIENTS: {
        commands.Ehlo: State.READY,
        commands.Helo: State.READY,
        commands.Rcpt: State.RECIPIENTS,
        commands.Data: State.CONTENT,
        commands.Bdat: State.CONTENT,
        commands.Rset: State.READY,
        commands.Noop: State.RECIPIENTS,
        commands.Vrfy: State.RECIPIENTS,
        commands.Help: State.RECIPIENTS,
        commands.Quit: State.CLOSED,
    },
    # After BDAT comes BDAT alone (RFC 3030 section 2), until LAST or RSET.
    State.CHUNKS: {
        commands.Ehlo: State.READY,
        commands.Helo: State.READY,
        commands.Bdat: State.CONTENT,
        commands.Rset: State.READY,
        commands.Noop: State.CHUNKS,
        commands.Vrfy: State.CHUNKS,
        commands.Help: State.CHUNKS,
        commands.Quit: State.CLOSED,
    },
}


def out_of_sequence(state: State, command: Command) -> Reply:
    """The reply to a command that has no edge from `state`, or to a line that is no command."""
    if isinstance(command, Refused):
        return command.reply
    if state is State.START:
        return answers.GREET_FIRST
    if isinstance(command, commands.Data | commands.Bdat) and state is State.SENDER:
        return answers.NO_RECIPIENTS
    return answers.SENDER_FIRST if state is State.READY else answers.IN_TRANSACTION
