"""A submitter that keeps what it is handed and answers at once, when told to, or by a failure."""

from __future__ import annotations

import asyncio

from relay.mail.ids import message_id
from relay.submission import Accepted, Submission


class RecordingSubmitter:
    """Stands where `relay.submission.Submitter` does, without a store."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        #: Raised by the next submissions' futures, one each.
        self.failures: list[Exception] = []
        #: Raised by `submit` itself, one each.
        self.crashes: list[Exception] = []
        #: While set, futures stay open until `answer` is called.
        self.waits = False
        self.open: list[tuple[Submission, asyncio.Future[Accepted]]] = []
        self.handed_over = asyncio.Event()
        self._ids = 0

    def new_id(self, tenant: str = "", idempotency_key: str = "") -> str:
        self._ids += 1
        return message_id(ms=1_790_000_000_000, partition=0, chance=self._ids)

    def submit(self, submission: Submission) -> asyncio.Future[Accepted]:
        if self.crashes:
            raise self.crashes.pop(0)
        answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self.submissions.append(submission)
        self.handed_over.set()
        if self.waits:
            self.open.append((submission, answer))
        elif self.failures:
            answer.set_exception(self.failures.pop(0))
        else:
            answer.set_result(Accepted(submission.id, repeated=False))
        return answer

    def answer(self) -> None:
        """The oldest open submission is durable now."""
        submission, answer = self.open.pop(0)
        answer.set_result(Accepted(submission.id, repeated=False))

    @property
    def contents(self) -> list[bytes]:
        """What was submitted, each without the trace header in front."""
        return [without_trace(b"".join(submission.content)) for submission in self.submissions]


def without_trace(content: bytes) -> bytes:
    """The content as the client sent it: the first header field, three lines, cut off."""
    return content.split(b"\r\n", 3)[3]
