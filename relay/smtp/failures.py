"""What the network does, said as a reply: the failures of a connection or session.

Where the host said nothing that could be passed on, 421 ("service not available") stands for its
silence: 4.4.1 nobody answered, 4.4.2 the connection went, 4.5.0 what came was not SMTP (RFC 3463
section 3.5).
"""

from __future__ import annotations

from relay.mail.outcome import Failure, Lack, Scope
from relay.mail.replies import readable
from relay.mail.reply import Reply, reply_of


def unreachable(why: str) -> Failure:
    """The connection was not made."""
    return Failure(Reply(421, "4.4.1", f"no connection: {readable(why)}"), Scope.HOST, "connect")


def lost(phase: str, why: str = "") -> Failure:
    """The connection went away."""
    because = f": {readable(why)}" if why else ""
    return Failure(
        Reply(421, "4.4.2", f"connection lost in phase {phase}{because}"), Scope.HOST, phase
    )


def silent(phase: str, seconds: float) -> Failure:
    """No answer in time."""
    text = f"no answer within {seconds:g} s in phase {phase}"
    return Failure(Reply(421, "4.4.2", text), Scope.HOST, phase)


def nonsense(phase: str, what: str) -> Failure:
    """The host does not keep to the protocol."""
    return Failure(Reply(421, "4.5.0", f"protocol error: {readable(what)}"), Scope.HOST, phase)


def refused(phase: str, code: int, text: str) -> Failure:
    """The host's own reply, where it says no; whatever else it says is nonsense here."""
    if 400 <= code < 600:
        return Failure(reply_of(code, readable(text)), Scope.HOST, phase)
    return nonsense(phase, f"{code} {text}" if code > 0 else text)


def forbidden(address: str) -> Failure:
    """We do not connect to that address. Temporary: a name's addresses change, and settings do."""
    text = f"connections to {readable(address)} are not permitted"
    return Failure(Reply(451, "4.4.4", text), Scope.HOST, "connect")


def insecure(why: str) -> Failure:
    """TLS is required and cannot be had (Postfix answers the same)."""
    text = f"TLS is required: {readable(why)}"
    return Failure(Reply(421, "4.7.4", text), Scope.HOST, "starttls", Lack.ENCRYPTION)


def unverified(why: str) -> Failure:
    """The host's certificate is not the one that is needed (Postfix answers the same)."""
    text = f"the host's certificate cannot be verified: {readable(why)}"
    return Failure(Reply(421, "4.7.5", text), Scope.HOST, "starttls", Lack.CERTIFICATE)


def unpromising() -> Failure:
    """The message needs REQUIRETLS, which the host does not promise (RFC 8689 section 4.2.1)."""
    text = "REQUIRETLS is needed, which the host does not offer"
    return Failure(Reply(421, "4.7.30", text), Scope.HOST, "starttls", Lack.REQUIRETLS)


def local(why: str) -> Failure:
    """This machine could not even try (no descriptors, no such source address)."""
    return Failure(Reply(421, "4.3.0", f"local trouble: {readable(why)}"), Scope.HOST, "local")


def withheld(why: str) -> Failure:
    """We stopped before the final dot; the host is not to blame."""
    return Failure(Reply(451, "4.3.0", why), Scope.MESSAGE, "content")
