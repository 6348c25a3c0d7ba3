"""The handover: a message that came in is counted, admitted and answered, one at a time."""

from __future__ import annotations

import asyncio
import logging

from relay.errors import StoreUnavailable, SubmissionRefused
from relay.identity import Principal, Refusal
from relay.identity.principal import NETWORK
from relay.ingress.prepare import prepared
from relay.ingress.reception import Reception
from relay.mail import answers
from relay.mail.events import Event
from relay.mail.receiver import Receiver
from relay.mail.transaction import MessageReceived
from relay.submission import Accepted, Submission

_log = logging.getLogger(__name__)


class Handover(asyncio.Protocol):
    """What a connection does about its messages; `_go_on` hears what follows."""

    _receiver: Receiver

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._loop = asyncio.get_running_loop()
        #: Whom the session is with: behind a proxy, or spoken for, not who is at the socket.
        self._address = ""
        #: Who the client is, by its network or its login; None where it is nobody yet.
        self._principal: Principal | None = None
        #: When the client last got on; when its content began (0: it did not).
        self._active = self._content_since = 0.0
        self._admitting: Submission | None = None
        self._admit_since = 0.0
        #: Octets that this session holds of the process's memory for content.
        self._held = 0

    def _go_on(self, event: Event | None) -> None:
        """Do what came up, then write all replies at once."""
        raise NotImplementedError

    def _hold(self, octets: int) -> None:
        if octets != self._held:
            self._reception.memory.used += octets - self._held
            self._held = octets

    def _submit(self, message: MessageReceived) -> Event | None:
        """Hand the message over; the event that followed, if it was refused at once."""
        self._content_since = 0.0
        self._hold(message.size)
        self._reception.sent(self._address)
        if self._reception.memory.full:
            self._hold(0)
            return self._receiver.refused(answers.OUT_OF_MEMORY)
        principal = self._principal or NETWORK
        logins = self._reception.logins
        self._admit_since = self._loop.time()
        try:
            submission = prepared(
                message, self._reception, self._receiver, principal, self._address
            )
            if principal.quotas.unlimited or logins is None:
                return self._admit(submission)
            spent = logins.spend(principal, len(message.envelope.recipients))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return self._refuse(error)
        self._admitting = submission
        spent.add_done_callback(self._spent)
        return None

    def _admit(self, submission: Submission) -> Event | None:
        """Have the message admitted; the event that followed, if that failed at once."""
        try:
            answer = self._reception.submitter.submit(submission)
        except Exception as error:  # noqa: BLE001 - as above
            self._admitting = None
            return self._refuse(error)
        self._admitting = submission
        # Even an answer that is there already comes by the loop, so that a packet full of messages
        # does not keep other clients waiting.
        answer.add_done_callback(self._answered)
        return None

    def _spent(self, answer: asyncio.Future[Refusal | None]) -> None:
        """The quotas were looked at: admit the message, or refuse it."""
        submission, self._admitting = self._admitting, None
        failure = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        refusal = None if failure is not None else answer.result()
        if submission is None or failure is not None:
            event = self._refuse(failure)
        elif refusal is not None:
            self._hold(0)
            event = self._receiver.refused(refusal.reply)
        else:
            event = self._admit(submission)
        if event is not None or self._admitting is None:
            self._active = self._loop.time()
            self._go_on(event)

    def _answered(self, answer: asyncio.Future[Accepted]) -> None:
        """The submitter's callback: go on with what the client sent meanwhile."""
        self._active = self._loop.time()
        self._go_on(self._answer(answer))

    def _answer(self, answer: asyncio.Future[Accepted]) -> Event | None:
        submission, size, self._admitting = self._admitting, self._held, None
        self._hold(0)
        try:
            id_ = answer.result().id
        except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - as above
            return self._refuse(failure)
        if submission is not None:
            self._reception.metrics.accepted(submission, size, self._active - self._admit_since)
        return self._receiver.accepted(id_)

    def _refuse(self, failure: BaseException | None) -> Event | None:
        self._hold(0)
        if isinstance(failure, SubmissionRefused):
            return self._receiver.refused(failure.reply)
        if not isinstance(failure, StoreUnavailable):
            _log.error("a message could not be admitted", exc_info=failure)
        return self._receiver.refused(answers.STORE_UNAVAILABLE)
