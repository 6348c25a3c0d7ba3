"""The stream of a session: octets in, cut into lines; replies out; nothing behind a pending event.

What the lines mean is the receiver's to say.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.mail import answers
from relay.mail.command import LONGEST_LINE
from relay.mail.events import Close, Event
from relay.mail.reply import Reply
from relay.mail.sequence import State
from relay.mail.transaction import ReceiverOptions

_CR = b"\r"[0]
# What every line asks for: Python 3.11 finds a member in its class in the time of two calls.
_ADMITTING, _CHECKING = State.ADMITTING, State.CHECKING
_CLOSED, _HANDSHAKE = State.CLOSED, State.HANDSHAKE


class Stream:
    """`_step` and `_heard` are for those who know what is said; the rest is the same for all."""

    def __init__(
        self, options: ReceiverOptions, on_refusal: Callable[[Reply], None] | None
    ) -> None:
        self.options = options
        self.state = State.START
        #: Lines obeyed so far: whoever sends one line for ever makes no progress here.
        self.lines = 0
        self._on_refusal = on_refusal
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
    def quiet(self) -> bool:
        """No transaction is open, so that the session may be ended."""
        return self.state is State.START or self.state is State.READY

    def receive(self, octets: bytes) -> Event | None:
        """Take what the client sent; the event, if something came up that the caller must do."""
        state = self.state
        if state is _CLOSED or state is _HANDSHAKE:
            return None
        self._input = self._input + octets if self._input else octets
        return None if state is _ADMITTING or state is _CHECKING else self._go_on()

    def output(self) -> bytes:
        """All replies since the last call, to be written at once."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def hang_up(self) -> None:
        """The client is gone: nothing that it sent is looked at any more."""
        self._reset(State.CLOSED)

    def end(self, reply: Reply) -> Close:
        """End the session with this reply, whatever its state."""
        self._say_no(reply)
        self._reset(State.CLOSED)
        return Close()

    def _resume(self) -> Event | None:
        if self.state is _ADMITTING or self.state is _CHECKING:
            self.state = State.READY
        return self._go_on()

    def _go_on(self) -> Event | None:
        while self._at < len(self._input) and self._event is None and self._step():
            pass
        if self._at:
            self._input, self._at = self._input[self._at :], 0
        event, self._event = self._event, None
        return event

    def _step(self) -> bool:
        """Take one line or one run of content, of which an octet is there at least; False where
        more must come first."""
        raise NotImplementedError

    def _longest_line(self) -> int:
        """Octets that a line may have now, where that is more than LONGEST_LINE."""
        raise NotImplementedError

    def _heard(self, line: bytes) -> None:
        """One line came, without its CRLF."""
        raise NotImplementedError

    def _take_line(self) -> bool:
        """Take one line; False where the rest of it must come first."""
        octets, at = self._input, self._at
        end = octets.find(b"\n", at)
        length = (end + 1 or len(octets)) - at
        if length > LONGEST_LINE and length > self._longest_line():
            self._event = self.end(answers.LINE_TOO_LONG)
            return True
        if end < 0:
            return False
        self._at = end + 1
        self.lines += 1
        if length == 1 or octets[end - 1] != _CR:
            # Where lines end is in doubt, so nothing that follows may be taken for a command.
            self._event = self.end(answers.BARE_LF)
            return True
        self._since_message += 1
        self._heard(octets[at : end - 1])
        if self._since_message > self._most_commands and self._event is None:
            self._event = self.end(answers.TOO_MANY_COMMANDS)
        return True

    def _refuse(self, reply: Reply) -> None:
        self._say_no(reply)
        self._errors += reply.permanent
        if self._errors >= self.options.errors:
            self._event = self.end(answers.TOO_MANY_ERRORS)

    def _say_no(self, reply: Reply) -> None:
        self._out.append(reply.wire())
        if self._on_refusal is not None:
            self._on_refusal(reply)

    def _reset(self, state: State) -> None:
        """Forget all input that was not looked at."""
        self.state = state
        self._input, self._at = b"", 0
