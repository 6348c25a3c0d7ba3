"""The receiver: a whole SMTP session on the server's side, without I/O (RFC 5321, RFC 2920).

Octets go in by `receive`; what is to be written is taken by `output`, so that the replies to one
batch of commands leave in one write; what only the caller can do comes back as an event. At most
one event comes of one call, and nothing behind it is looked at before the caller has answered it:
so replies keep the order of their commands, however these were pipelined.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from msgspec import Struct

from relay.mail import answers
from relay.mail import command as commands
from relay.mail.command import LONGEST_LINE, Command, Refused, parse_command
from relay.mail.reply import Reply
from relay.mail.sequence import TRANSITIONS, State, out_of_sequence
from relay.mail.transaction import MessageReceived, ReceiverOptions, RecipientCheck, Transaction


class StartTls(Struct, frozen=True):
    """The output is to be written, the handshake done, and then `secured` called."""


class Close(Struct, frozen=True):
    """The output is to be written and the connection closed."""


Event = MessageReceived | StartTls | Close

_OK = answers.OK.wire()
_SENDER_OK = answers.SENDER_OK.wire()
_RECIPIENT_OK = answers.RECIPIENT_OK.wire()
_START_CONTENT = answers.START_CONTENT.wire()
_START_TLS = answers.START_TLS.wire()
_WILL_TRY = answers.WILL_TRY.wire()
_HELP = answers.HELP.wire()
_BYE = answers.BYE.wire()


class Receiver:
    """One session. Not thread-safe, needs no loop, and never looks at a clock.

    `may_relay`: the client may submit messages; without it every recipient is refused.
    `offer_tls`: there is a certificate. `on_refusal` hears of every reply that refuses something.
    """

    def __init__(
        self,
        options: ReceiverOptions,
        *,
        may_relay: bool,
        offer_tls: bool = False,
        check: RecipientCheck | None = None,
        on_refusal: Callable[[Reply], None] | None = None,
    ) -> None:
        self.options = options
        self.state = State.START
        #: Inside TLS.
        self.secure = False
        #: What the client called itself, and whether it spoke EHLO.
        self.name = ""
        self.extended = False
        #: Lines obeyed so far: whoever sends one line for ever makes no progress here.
        self.lines = 0
        self._offer_tls = offer_tls
        self._on_refusal = on_refusal
        self._transaction = Transaction(options, may_relay=may_relay, check=check)
        self._input = b""
        self._at = 0
        self._out: list[bytes] = []
        self._event: Event | None = None
        self._errors = self._since_message = 0
        self._most_commands = options.commands + options.recipients

    @property
    def pending(self) -> int:
        """Octets that came in and were not yet looked at."""
        return len(self._input)

    @property
    def kept(self) -> int:
        """Octets of memory that the content coming in takes."""
        return self._transaction.kept

    @property
    def content_size(self) -> int:
        """Octets of content that have come in for this message, kept or not."""
        return self._transaction.size

    @property
    def quiet(self) -> bool:
        """No transaction is open, so that the session may be ended."""
        return self.state is State.START or self.state is State.READY

    def greeting(self) -> bytes:
        """What is written first of all."""
        return b"220 %b ESMTP Relay\r\n" % self.options.hostname.encode()

    def receive(self, octets: bytes) -> Event | None:
        """Take what the client sent; the event, if something came up that the caller must do."""
        if self.state is State.CLOSED or self.state is State.HANDSHAKE:
            return None
        self._input = self._input + octets if self._input else octets
        return None if self.state is State.ADMITTING else self._go_on()

    def output(self) -> bytes:
        """All replies since the last call, to be written at once."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def accepted(self, message: str) -> Event | None:
        """The message is durable under this id; goes on with what the client pipelined."""
        self._out.append(b"250 2.0.0 Ok: queued as %b\r\n" % message.encode())
        self._errors = self._since_message = 0
        return self._resume()

    def refused(self, reply: Reply) -> Event | None:
        """The message was not accepted; goes on with what the client pipelined."""
        self._say_no(reply)
        return self._resume()

    def secured(self) -> None:
        """The handshake is done: all that was said before is forgotten (RFC 3207 section 4.2)."""
        self._reset(State.START)
        self.secure, self.name, self.extended = True, "", False

    def drop_content(self) -> None:
        """There is no memory for the content that is coming in: it ends in 452."""
        self._transaction.drop_content()

    def hang_up(self) -> None:
        """The client is gone: nothing that it sent is looked at any more."""
        self._reset(State.CLOSED)

    def end(self, reply: Reply) -> Close:
        """End the session with this reply, whatever its state."""
        self._say_no(reply)
        self._reset(State.CLOSED)
        return Close()

    def _resume(self) -> Event | None:
        if self.state is State.ADMITTING:
            self.state = State.READY
        return self._go_on()

    def _go_on(self) -> Event | None:
        while self._event is None and self._step():
            pass
        self._input, self._at = self._input[self._at :], 0
        event, self._event = self._event, None
        return event

    def _step(self) -> bool:
        """Take one line or one run of content; False where more must come first."""
        if self._at >= len(self._input):
            return False
        if self.state is State.CONTENT:
            return self._take_content()
        end = self._input.find(b"\n", self._at)
        length = (end + 1 or len(self._input)) - self._at
        if length > LONGEST_LINE:
            self._event = self.end(answers.LINE_TOO_LONG)
        elif end >= 0:
            self._take_line(end)
        return end >= 0

    def _take_line(self, end: int) -> None:
        line, self._at = self._input[self._at : end], end + 1
        self.lines += 1
        if line[-1:] != b"\r":
            # Where lines end is in doubt, so nothing that follows may be taken for a command.
            self._event = self.end(answers.BARE_LF)
            return
        self._since_message += 1
        self._obey(parse_command(line[:-1]))
        if self._since_message > self._most_commands and self._event is None:
            self._event = self.end(answers.TOO_MANY_COMMANDS)

    def _take_content(self) -> bool:
        end = self._transaction.feed(self._input, self._at)
        if end < 0:
            self._at = len(self._input)
            return False
        self._at = end
        message = self._transaction.finish()
        if isinstance(message, MessageReceived):
            self.state, self._event = State.ADMITTING, message
        else:
            self.state = State.READY
            self._refuse(message)
        return True

    def _obey(self, command: Command) -> None:
        kind = command.__class__
        target = TRANSITIONS[self.state].get(kind)
        if target is None:
            reply = out_of_sequence(self.state, command)
            if reply is answers.NO_RECIPIENTS and self._transaction.put_off:
                reply = answers.NO_RECIPIENTS_NOW
            self._refuse(reply)
            self._stay_in_step(command)
            return
        answer = self._HANDLERS[kind](self, command)
        if isinstance(answer, Reply):
            self._refuse(answer)
        else:
            self._out.append(answer)
            self.state = target

    def _refuse(self, reply: Reply) -> None:
        self._say_no(reply)
        self._errors += reply.permanent
        if self._errors >= self.options.errors:
            self._event = self.end(answers.TOO_MANY_ERRORS)

    def _say_no(self, reply: Reply) -> None:
        self._out.append(reply.wire())
        if self._on_refusal is not None:
            self._on_refusal(reply)

    def _stay_in_step(self, command: Command) -> None:
        """End a session whose next octets may be somebody else's words.

        So it is with HTTP, and where DATA was refused and more already stands behind it: DATA is
        the last of a group (RFC 2920 section 3.1), so that is content sent without awaiting 354.
        """
        if self._event is not None:
            return
        if isinstance(command, Refused) and command.fatal:
            self._reset(State.CLOSED)
            self._event = Close()
        elif isinstance(command, commands.Data) and self._at < len(self._input):
            self._event = self.end(answers.OUT_OF_STEP)

    def _reset(self, state: State) -> None:
        """Forget the transaction, and all input that was not looked at."""
        self.state = state
        self._input, self._at = b"", 0
        self._transaction.forget()

    def _ehlo(self, command: commands.Ehlo) -> bytes:
        self._transaction.forget()
        self.name, self.extended = command.name, True
        options, starttls = self.options, self._offer_tls and not self.secure
        return _capabilities(options.hostname, options.message_size, starttls)

    def _helo(self, command: commands.Helo) -> bytes:
        self._transaction.forget()
        self.name, self.extended = command.name, False
        return b"250 %b\r\n" % self.options.hostname.encode()

    def _mail(self, command: commands.Mail) -> bytes | Reply:
        return self._transaction.begin(command) or _SENDER_OK

    def _rcpt(self, command: commands.Rcpt) -> bytes | Reply:
        return self._transaction.add(command.address) or _RECIPIENT_OK

    def _data(self, _: commands.Data) -> bytes:
        self._transaction.start_content()
        return _START_CONTENT

    def _start_tls(self, _: commands.StartTls) -> bytes | Reply:
        if not self._offer_tls or self.secure:
            return answers.NO_TLS
        # What stands behind STARTTLS was not protected, so it is never obeyed (CVE-2011-0411).
        self._reset(State.HANDSHAKE)
        self._event = StartTls()
        return _START_TLS

    def _rset(self, _: commands.Rset) -> bytes:
        self._transaction.forget()
        return _OK

    def _quit(self, _: commands.Quit) -> bytes:
        self._reset(State.CLOSED)
        self._event = Close()
        return _BYE

    #: Each takes the command it stands beside; the answer is positive where it is octets.
    _HANDLERS: ClassVar[dict[type[Command], Callable[[Receiver, Any], bytes | Reply]]] = {
        commands.Ehlo: _ehlo,
        commands.Helo: _helo,
        commands.Mail: _mail,
        commands.Rcpt: _rcpt,
        commands.Data: _data,
        commands.StartTls: _start_tls,
        commands.Rset: _rset,
        commands.Noop: lambda _self, _: _OK,
        commands.Vrfy: lambda _self, _: _WILL_TRY,
        commands.Help: lambda _self, _: _HELP,
        commands.Quit: _quit,
    }


@lru_cache(maxsize=16)
def _capabilities(hostname: str, size: int, starttls: bool) -> bytes:
    lines = [hostname, "PIPELINING", f"SIZE {size}", *(["STARTTLS"] if starttls else [])]
    lines += ["8BITMIME", "ENHANCEDSTATUSCODES", "HELP"]
    last = len(lines) - 1
    return "".join(f"250{' -'[i < last]}{line}\r\n" for i, line in enumerate(lines)).encode()
