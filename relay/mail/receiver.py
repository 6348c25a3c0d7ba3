"""The receiver: a whole SMTP session on the server's side, without I/O (RFC 5321, RFC 2920).

Octets go in by `receive`; what is to be written is taken by `output`, so that the replies to one
batch of commands leave in one write; what only the caller can do comes back as an event. At most
one event comes of one call, and nothing behind it is looked at before the caller has answered it:
so replies keep the order of their commands, however these were pipelined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from relay.mail import answers
from relay.mail import command as commands
from relay.mail.capabilities import capabilities
from relay.mail.command import LONGEST_LINE, Command, Refused, parse_command
from relay.mail.events import Authenticate, Close, Event, Introduced, StartTls
from relay.mail.extensions import Extension
from relay.mail.login import LONGEST_LINE as LONGEST_LOGIN
from relay.mail.login import MECHANISMS, Exchange, Login
from relay.mail.login import Step as LoginStep
from relay.mail.reply import Reply
from relay.mail.sequence import TRANSITIONS, State, out_of_sequence
from relay.mail.stream import Stream
from relay.mail.transaction import (
    MessageReceived,
    ReceiverOptions,
    RecipientCheck,
    Rights,
    Transaction,
)

_OK = answers.OK.wire()
_SENDER_OK = answers.SENDER_OK.wire()
_RECIPIENT_OK = answers.RECIPIENT_OK.wire()
_START_CONTENT = answers.START_CONTENT.wire()
_START_TLS = answers.START_TLS.wire()
_WILL_TRY = answers.WILL_TRY.wire()
_LOGGED_IN = answers.LOGGED_IN.wire()
_HELP = answers.HELP.wire()
_BYE = answers.BYE.wire()
# As in relay.mail.stream.
_CONTENT, _CHUNKS = State.CONTENT, State.CHUNKS


class Receiver(Stream):
    """One session. Not thread-safe, needs no loop, and never looks at a clock.

    `rights`: what the client may send as by its network; without any it must log in, or is refused
    each recipient. `offer_tls`: there is a certificate. `clear_login`: AUTH is offered outside TLS
    as well. `xclient`: the client may speak for others. `on_refusal` hears of every reply that
    refuses something. `clock`: Unix time, for what is to be sent later.
    """

    def __init__(
        self,
        options: ReceiverOptions,
        *,
        rights: Rights | None,
        offer_tls: bool = False,
        clear_login: bool = False,
        xclient: bool = False,
        check: RecipientCheck | None = None,
        on_refusal: Callable[[Reply], None] | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__(options, on_refusal)
        #: Inside TLS.
        self.secure = False
        #: What the client called itself, and whether it spoke EHLO.
        self.name = ""
        self.extended = False
        self._offer_tls = offer_tls
        self._clear_login = clear_login
        self._xclient = xclient
        self._clock = clock
        #: What the client may do by its network, whoever logs in.
        self._by_network = rights
        #: It has logged in.
        self.authenticated = False
        self._login: Exchange | None = None
        self._failed_logins = 0
        #: Octets of the chunk that are still to come, and whether it is the last one.
        self._chunk = 0
        self._last_chunk = False
        #: Octets of chunks that are not looked at.
        self._unwanted = 0
        self._transaction = Transaction(options, rights=rights, check=check, clock=clock)

    @property
    def kept(self) -> int:
        """Octets of memory that the content coming in takes."""
        return self._transaction.kept

    @property
    def content_size(self) -> int:
        """Octets of content that have come in for this message, kept or not."""
        return self._transaction.size

    @property
    def rights(self) -> Rights | None:
        """What the client may send as now."""
        return self._transaction.rights

    @property
    def content_open(self) -> bool:
        """Content comes in, or more of it is to come."""
        return self.state is _CONTENT or self.state is _CHUNKS

    def greeting(self) -> bytes:
        """What is written first of all."""
        return b"220 %b ESMTP Relay\r\n" % self.options.hostname.encode()

    def accepted(self, message: str) -> Event | None:
        """The message is durable under this id; goes on with what the client pipelined."""
        self._out.append(b"250 2.0.0 Ok: queued as %b\r\n" % message.encode())
        self._errors = self._since_message = 0
        return self._resume()

    def refused(self, reply: Reply) -> Event | None:
        """The message was not accepted; goes on with what the client pipelined."""
        self._say_no(reply)
        return self._resume()

    def await_handshake(self) -> None:
        """TLS comes before anything else (RFC 8314): nothing is obeyed until `secured`."""
        self._reset(State.HANDSHAKE)

    def secured(self) -> None:
        """The handshake is done: all that was said before is forgotten (RFC 3207 section 4.2)."""
        self._reset(State.START)
        self.secure = self._transaction.secure = True
        self._be_new(self._by_network)

    def logged_in(self, rights: Rights) -> Event | None:
        """The login was good; goes on with what the client pipelined."""
        self._out.append(_LOGGED_IN)
        self.authenticated, self._transaction.rights = True, rights
        self._errors = self._since_message = 0
        return self._resume()

    def not_logged_in(self, reply: Reply) -> Event | None:
        """The login was not, or cannot be told; goes on with what the client pipelined."""
        self._say_no(reply)
        self._failed_logins += 1
        if self._failed_logins >= self.options.logins:
            return self.end(answers.TOO_MANY_LOGINS)
        return self._resume()

    def introduced(self, rights: Rights | None) -> Event | None:
        """The client whom this one speaks for may send as `rights` say; the session starts anew."""
        self.state = State.START
        self._by_network = rights
        name = self.name
        self._be_new(rights)
        self.name = name
        self._out.append(self.greeting())
        return self._go_on()

    def _be_new(self, rights: Rights | None) -> None:
        self._transaction.forget()
        self._transaction.rights = rights
        self.name, self.extended, self.authenticated = "", False, False

    def drop_content(self) -> None:
        """There is no memory for the content that is coming in: it ends in 452."""
        self._transaction.drop_content()

    def _step(self) -> bool:
        """Take one line or one run of content; False where more must come first."""
        if self._unwanted or self._chunk:
            return self._take_chunk()
        return self._take_content() if self.state is _CONTENT else self._take_line()

    def _longest_line(self) -> int:
        return LONGEST_LOGIN if self._may_log_in else LONGEST_LINE

    def _heard(self, line: bytes) -> None:
        if self._login is not None:
            self._log_in(self._login.answer(line))
        else:
            self._obey(parse_command(line))

    def _take_content(self) -> bool:
        end = self._transaction.feed(self._input, self._at)
        if end < 0:
            self._at = len(self._input)
            return False
        self._at = end
        self._finish()
        return True

    def _take_chunk(self) -> bool:
        """Take octets of a chunk, as many as are there; those of an unwanted one are nobody's."""
        there = len(self._input) - self._at
        if self._unwanted:
            taken = min(there, self._unwanted)
            self._unwanted -= taken
        else:
            taken = min(there, self._chunk)
            self._chunk -= taken
            self._transaction.feed_chunk(self._input[self._at : self._at + taken])
        self._at += taken
        if self.state is State.CONTENT and not self._chunk:
            self._end_chunk()
        return True

    def _end_chunk(self) -> None:
        if self._last_chunk:
            self._finish()
        else:
            self.state = State.CHUNKS
            self._out.append(_OK)

    def _finish(self) -> None:
        """The content is whole."""
        message = self._transaction.finish()
        if isinstance(message, MessageReceived):
            self.state, self._event = State.ADMITTING, message
        else:
            self.state = State.READY
            self._refuse(message)

    def _obey(self, command: Command) -> None:
        kind, before = command.__class__, self.state
        target = TRANSITIONS[before].get(kind)
        if target is None:
            answer: bytes | Reply = self._out_of_sequence(command)
        else:
            self.state = target
            answer = self._HANDLERS[kind](self, command)
        if isinstance(answer, bytes):
            if answer:
                self._out.append(answer)
            return
        self.state = before
        self._refuse(answer)
        self._stay_in_step(command)

    def _out_of_sequence(self, command: Command) -> Reply:
        reply = out_of_sequence(self.state, command)
        if reply is answers.NO_RECIPIENTS and self._transaction.put_off:
            return answers.NO_RECIPIENTS_NOW
        return reply

    def _stay_in_step(self, command: Command) -> None:
        """End a session whose next octets may be somebody else's words.

        So it is with HTTP, and where DATA was refused and more already stands behind it: DATA is
        the last of a group (RFC 2920 section 3.1), so that is content sent without awaiting 354.
        """
        if self._event is not None:
            return
        if isinstance(command, commands.Bdat):
            # It came at once, whether it may or not (RFC 3030 section 2).
            self._unwanted = command.size
        elif isinstance(command, Refused) and command.fatal:
            self._reset(State.CLOSED)
            self._event = Close()
        elif isinstance(command, commands.Data) and self._at < len(self._input):
            self._event = self.end(answers.OUT_OF_STEP)

    def _reset(self, state: State) -> None:
        """Forget the transaction, and all input that was not looked at."""
        super()._reset(state)
        self._chunk = self._unwanted = 0
        self._login = None
        self._transaction.forget()

    @property
    def _may_log_in(self) -> bool:
        """AUTH is offered now."""
        return self.options.auth and (self.secure or self._clear_login) and not self.authenticated

    def _ehlo(self, command: commands.Ehlo) -> bytes:
        self._transaction.forget()
        self.name, self.extended = command.name, True
        return capabilities(
            self.options,
            starttls=self._offer_tls and not self.secure,
            auth=self._may_log_in,
            secure=self.secure,
            xclient=self._xclient,
            now=self._clock(),
        )

    def _helo(self, command: commands.Helo) -> bytes:
        self._transaction.forget()
        self.name, self.extended = command.name, False
        return b"250 %b\r\n" % self.options.hostname.encode()

    def _mail(self, command: commands.Mail) -> bytes | Reply:
        return self._transaction.begin(command) or _SENDER_OK

    def _rcpt(self, command: commands.Rcpt) -> bytes | Reply:
        return self._transaction.add(command) or _RECIPIENT_OK

    def _data(self, _: commands.Data) -> bytes | Reply:
        return self._transaction.start_content() or _START_CONTENT

    def _bdat(self, command: commands.Bdat) -> bytes | Reply:
        if Extension.CHUNKING not in self.options.extensions:
            return answers.NOT_IMPLEMENTED
        self._chunk, self._last_chunk = command.size, command.last
        self._transaction.feed_chunk(b"")
        if command.size:
            # What gets on is no idle talk: content may come in as many chunks as it likes.
            self._since_message -= 1
        else:
            self._end_chunk()
        return b""

    def _auth(self, command: commands.Auth) -> bytes | Reply:
        if not self.options.auth:
            return answers.NO_AUTH
        if self.authenticated:
            return answers.LOGGED_IN_ALREADY
        if not self._may_log_in:
            return answers.LOGIN_NEEDS_TLS
        if command.mechanism not in MECHANISMS:
            return answers.NO_SUCH_MECHANISM
        self._login = Exchange(command.mechanism)
        self._log_in(self._login.begin(command.initial))
        return b""

    def _log_in(self, step: LoginStep) -> None:
        """Say what the exchange says, or have the login looked up."""
        if isinstance(step, bytes):
            self._out.append(step)
            return
        self._login = None
        if isinstance(step, Login):
            self.state, self._event = State.CHECKING, Authenticate(step)
        else:
            self.state = State.READY
            self._refuse(step)

    def _xclient_(self, command: commands.XClient) -> bytes | Reply:
        if not self._xclient:
            return answers.NO_XCLIENT
        if command.name is not None:
            self.name = command.name
        self._event = Introduced(command.address)
        return b""

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
        commands.Bdat: _bdat,
        commands.Auth: _auth,
        commands.XClient: _xclient_,
        commands.StartTls: _start_tls,
        commands.Rset: _rset,
        commands.Noop: lambda _self, _: _OK,
        commands.Vrfy: lambda _self, _: _WILL_TRY,
        commands.Help: lambda _self, _: _HELP,
        commands.Quit: _quit,
    }
