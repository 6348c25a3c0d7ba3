"""The commands of a mail transaction as a client says them (RFC 5321 section 3.3)."""

from __future__ import annotations

import re

# Unquoted: nothing that ends the path or the line, and no blank, which would begin a parameter.
_PLAIN = re.compile(r"[^\x00-\x20\x7f-\x9f<>\"\u2028\u2029]+")
# A quoted local part may hold blanks and brackets, but no control either (RFC 5321 section 4.1.2).
_QUOTED = re.compile(
    r'"(?:[^"\\\x00-\x1f\x7f-\x9f]|\\[\x20-\x7e])*"@[^\x00-\x20\x7f-\x9f<>"\u2028\u2029]+'
)

# What a parameter's value may be (RFC 5321 section 4.1.2).
_VALUE = re.compile(r"[!-<>-~]{1,500}")

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


def mail_from(  # noqa: PLR0913 - one for each parameter of MAIL
    sender: str,
    *,
    size: int = 0,
    eight_bit: bool = False,
    binary: bool = False,
    smtputf8: bool = False,
    ret: str = "",
    envid: str = "",
    mt_priority: int = 0,
    require_tls: bool = False,
    by: str = "",
) -> str:
    """MAIL FROM; each parameter is given only where it has a value (the caller knows what the
    host announced): `size` in octets (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531),
    RET and ENVID (RFC 3461), MT-PRIORITY (RFC 6710), REQUIRETLS (RFC 8689), BY (RFC 2852)."""
    command = f"MAIL FROM:<{sender}>"
    if size:
        command += f" SIZE={size}"
    if binary:
        command += " BODY=BINARYMIME"
    elif eight_bit:
        command += " BODY=8BITMIME"
    if smtputf8:
        command += " SMTPUTF8"
    if mt_priority:
        command += f" MT-PRIORITY={mt_priority}"
    if require_tls:
        command += " REQUIRETLS"
    if by or ret or envid:
        command += _parameter("BY", by) + _parameter("RET", ret) + _parameter("ENVID", envid)
    return command


def bdat(size: int) -> bytes:
    """What stands in front of content that is sent in one chunk (RFC 3030 section 2)."""
    return b"BDAT %d LAST\r\n" % size


def rcpt_to(recipient: str, notify: str = "", orcpt: str = "") -> str:
    """RCPT TO, with NOTIFY and ORCPT where they have a value (RFC 3461)."""
    command = f"RCPT TO:<{recipient}>"
    if notify or orcpt:
        command += _parameter("NOTIFY", notify) + _parameter("ORCPT", orcpt)
    return command


def _parameter(name: str, value: str) -> str:
    """The parameter, unless its value could end it; checked again, as addresses are."""
    return f" {name}={value}" if value and _VALUE.fullmatch(value) else ""


def wire(*commands: str) -> bytes:
    """The commands as octets to send, each with its CRLF, in one piece (RFC 2920)."""
    return ("\r\n".join(commands) + "\r\n").encode()
