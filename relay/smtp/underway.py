"""A transaction on its way over a session: what is said for it, and what forbids to say it."""

from __future__ import annotations

from relay.mail.client_commands import DATA, RSET, mail_from, rcpt_to, sendable, wire
from relay.mail.exchange import Exchange, RecipientReply
from relay.mail.outcome import Scope
from relay.mail.reply import Reply
from relay.smtp.features import Features
from relay.smtp.transaction import Transaction

#: Of a time in BY (RFC 2852 section 4).
_MOST_SECONDS = 999_999_999


class Underway(Exchange):
    """The exchange of a transaction, with its commands."""

    __slots__ = ("_script", "transaction")

    def __init__(self, transaction: Transaction, features: Features, *, reset: bool) -> None:
        super().__init__(
            len(transaction.recipients),
            pipelined=features.pipelining,
            reset=reset,
            chunked=transaction.binary,
        )
        self.transaction = transaction
        mail = mail_from(
            transaction.sender,
            size=transaction.size if features.size else 0,
            eight_bit=transaction.eight_bit and features.eight_bit_mime,
            binary=transaction.binary,
            smtputf8=transaction.smtputf8,
            ret=transaction.ret if features.dsn else "",
            envid=transaction.envid if features.dsn else "",
            mt_priority=transaction.mt_priority if features.mt_priority else 0,
            require_tls=transaction.require_tls and features.requiretls,
            by=_by(transaction) if features.deliver_by else "",
        )
        if features.dsn and transaction.notify:
            pairs = zip(transaction.recipients, transaction.notify, strict=True)
            script = [mail, *(rcpt_to(recipient, *asked) for recipient, asked in pairs)]
        else:
            script = [mail, *map(rcpt_to, transaction.recipients)]
        if not transaction.binary:
            script.append(DATA)
        if reset:
            script.insert(0, RSET)
        self._script = script

    def say(self) -> bytes:
        """What to send now: with pipelining all up to DATA, else the next command."""
        if self._pipelined:
            return wire(*self._script)
        return wire(self._script.pop(0))


def _by(transaction: Transaction) -> str:
    if not transaction.by_mode:
        return ""
    # The parameter has nine digits at most.
    seconds = max(-_MOST_SECONDS, min(transaction.by_seconds, _MOST_SECONDS))
    return f"{seconds};{transaction.by_mode}"


def unsendable(transaction: Transaction, features: Features) -> list[RecipientReply] | None:
    """The recipients' replies where the transaction cannot be sent to a host with these features,
    None where it can."""
    reply = _unfit(transaction, features)
    if reply is not None:
        return [RecipientReply(reply, Scope.MESSAGE)] * len(transaction.recipients)
    smtputf8 = transaction.smtputf8
    if transaction.sender and not sendable(transaction.sender, smtputf8=smtputf8):
        reply = Reply(553, "5.1.7", "the sender's address cannot be sent")
        return [RecipientReply(reply, Scope.MESSAGE)] * len(transaction.recipients)
    good = [sendable(address, smtputf8=smtputf8) for address in transaction.recipients]
    return None if all(good) else [_of_recipient(fine) for fine in good]


def _unfit(transaction: Transaction, features: Features) -> Reply | None:
    if transaction.size > features.size_limit > 0:
        # RFC 1870 section 6.1: what the host said it would refuse is not sent at all.
        text = f"{transaction.size} octets, and the host takes no more than {features.size_limit}"
        return Reply(552, "5.3.4", text)
    if transaction.smtputf8 and not features.smtputf8:
        return Reply(553, "5.6.7", "the message needs SMTPUTF8, which the host does not offer")
    if transaction.binary and not (features.binary_mime and features.chunking):
        # RFC 3030 section 3: what cannot be converted is returned; content is not changed here.
        return Reply(554, "5.6.3", "the message needs BINARYMIME, which the host does not offer")
    if transaction.eight_bit and not features.eight_bit_mime:
        return Reply(554, "5.6.3", "the message needs 8BITMIME, which the host does not offer")
    return _too_loose(transaction, features)


def _too_loose(transaction: Transaction, features: Features) -> Reply | None:
    """What the sender asked for, and the host does not promise."""
    if transaction.require_tls and transaction.sender and not features.requiretls:
        # Nobody should have opened the session for it: the last line of defence (RFC 8689 4.2.1).
        text = "the message needs REQUIRETLS, which the host does not offer"
        return Reply(550, "5.7.30", text)
    if not transaction.by_mode.startswith("R"):
        return None
    if transaction.by_seconds <= 0:
        return Reply(554, "5.4.7", "the time by which it was to be delivered is over")
    if not features.deliver_by:
        text = "the message is to be delivered in time or not at all (DELIVERBY), which the host"
        return Reply(554, "5.4.7", f"{text} does not offer")
    if transaction.by_seconds < features.least_time:
        text = f"{transaction.by_seconds} s are left for delivery, and the host wants"
        return Reply(554, "5.4.7", f"{text} {features.least_time} at least")
    return None


def _of_recipient(fine: bool) -> RecipientReply:
    # The good recipients of such a transaction go with the next attempt, without the bad ones.
    if fine:
        return RecipientReply(
            Reply(451, "4.1.3", "another recipient's address cannot be sent"), Scope.RECIPIENT
        )
    return RecipientReply(Reply(553, "5.1.3", "the address cannot be sent"), Scope.RECIPIENT)
