"""AUTH: what a client says to log in, by the mechanisms PLAIN (RFC 4616) and LOGIN.

Without I/O: `begin` and each `answer` give the next challenge, a `Login`, or a reply that refuses.
"""

from __future__ import annotations

import binascii

from msgspec import Struct

from relay.mail import answers
from relay.mail.reply import Reply

MECHANISMS = ("PLAIN", "LOGIN")
#: Octets of a line with its CRLF while a client logs in (RFC 4954 section 4).
LONGEST_LINE = 12_288

_USERNAME, _PASSWORD = b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"


class Login(Struct, frozen=True):
    """Who the client says it is, and its password."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.name!r})"


#: A challenge is octets to send.
Step = Login | Reply | bytes


class Exchange:
    """One login under way."""

    __slots__ = ("_mechanism", "_name")

    def __init__(self, mechanism: str) -> None:
        self._mechanism = mechanism
        self._name: str | None = None

    def begin(self, initial: bytes | None) -> Step:
        """`initial`: the response that came with AUTH, `=` for an empty one; None: none did."""
        if initial is None:
            return b"334 \r\n" if self._mechanism == "PLAIN" else _USERNAME
        return self.answer(b"" if initial == b"=" else initial)

    def answer(self, line: bytes) -> Step:
        """The client's answer to a challenge, without its CRLF."""
        if line == b"*":
            return answers.LOGIN_CANCELLED
        try:
            said = binascii.a2b_base64(line, strict_mode=True).decode()
        except ValueError:
            return answers.BAD_BASE64
        return self._plain(said) if self._mechanism == "PLAIN" else self._login(said)

    def _plain(self, said: str) -> Step:
        parts = said.split("\0")
        if len(parts) != 3 or not parts[1]:
            return answers.BAD_LOGIN
        identity, name, password = parts
        # Nobody acts for somebody else.
        return Login(name, password) if identity in ("", name) else answers.LOGIN_REFUSED

    def _login(self, said: str) -> Step:
        if self._name is None:
            if not said or "\0" in said:
                return answers.BAD_LOGIN
            self._name = said
            return _PASSWORD
        return answers.BAD_LOGIN if "\0" in said else Login(self._name, said)
