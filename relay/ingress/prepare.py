"""From a message that came in over SMTP to its submission."""

from __future__ import annotations

import time

from relay.errors import SubmissionRefused
from relay.identity import Principal
from relay.ingress.reception import Reception
from relay.ingress.wished import wished
from relay.mail import answers
from relay.mail.control import take_key
from relay.mail.header import fixed
from relay.mail.receiver import Receiver
from relay.mail.trace import date, received, received_from, with_keyword
from relay.mail.transaction import MessageReceived
from relay.submission import Submission


def prepared(
    message: MessageReceived,
    reception: Reception,
    receiver: Receiver,
    principal: Principal,
    client: str,
) -> Submission:
    """What is submitted: trace header in front, and the fixes of a submission where they are due.

    Raises SubmissionRefused where the header section has something that cannot be obeyed or fixed.
    """
    options, now = receiver.options, time.time()
    taken = take_key(message.chunks, reception.options.key_field)
    if not isinstance(taken, tuple):
        raise SubmissionRefused(taken)
    key, chunks = taken
    id_ = reception.submitter.new_id(principal.tenant, key)
    keyword = with_keyword(
        extended=receiver.extended,
        secure=receiver.secure,
        authenticated=receiver.authenticated,
        smtputf8=message.envelope.smtputf8,
    )
    session = received_from(receiver.name, client, options.hostname, keyword)
    added, first = received(session, id_, int(now)), chunks[0] if chunks else b""
    if options.fixes:
        better = fixed(first, date(int(now)), f"{id_}@{options.hostname}".encode())
        if better is None:
            raise SubmissionRefused(answers.BAD_HEADER)
        added, first = added + better[0], better[1]
    asked = wished(message.wishes, now, options.longest_age)
    return Submission(
        id=id_,
        envelope=message.envelope,
        content=(added + first, *chunks[1:]),
        trace=len(added),
        client=client,
        tenant=principal.tenant,
        idempotency_key=key,
        priority=asked.priority,
        send_at_ms=asked.send_at_ms,
        expires_at_ms=asked.expires_at_ms,
        by_ms=asked.by_ms,
        by_mode=asked.by_mode,
    )
