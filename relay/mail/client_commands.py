"""The commands of a mail transaction as a client says them (RFC 5321 section 3.3)."""

from __future__ import annotations

import re

# Unquoted: nothing that ends the path or the line, and no blank, which would begin a parameter.
_PLAIN = re.compile(r"[^\x00-\x20\x7f-\x9f<>\"\u2028\u2029]+")
# A quoted local part may hold blanks and brackets, but no control either (RFC 5321 section 4.1.2).
_QUOTED = re.compile(
    r'"(?:[^"\\\x00-\x1f\x7f-\x9f]|\\[\x20-\x7e])*"@[^\x00-\x20\x7f-\x9f<>"\u2028\u2029]+'
)

DATA = "DATA"
RSET = "RSET"
QUIT = "QUIT"


def sendable(address: str, *, smtputf8: bool) -> bool:
    """Whether the address can stand in a command without changing what the command says.

    Checked again right before sending, whatever was checked at submission: one CR in an address
    would be a command of its own.
    """
    if not (smtputf8 or address.isascii()):
        return False
    return bool(_PLAIN.fullmatch(address) or _QUOTED.fullmatch(address))


def mail_from(
    sender: str, *, size: int = 0, eight_bit: bool = False, smtputf8: bool = False
) -> str:
    """MAIL FROM; each parameter is given only where it has a value (the caller knows what the
    host announced): `size` in octets (RFC 1870), BODY=8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531)."""
    command = f"MAIL FROM:<{sender}>"
    if size:
        command += f" SIZE={size}"
    if eight_bit:
        command += " BODY=8BITMIME"
    if smtputf8:
        command += " SMTPUTF8"
    return command


def rcpt_to(recipient: str) -> str:
    """RCPT TO."""
    return f"RCPT TO:<{recipient}>"


def wire(*commands: str) -> bytes:
    """The commands as octets to send, each with its CRLF, in one piece (RFC 2920)."""
    return ("\r\n".join(commands) + "\r\n").encode()
