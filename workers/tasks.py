"""The two tasks: work on these queues, and accept this message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from celery import shared_task
from celery.exceptions import Reject

from relay.errors import StoreUnavailable, SubmissionRefused
from relay.store import wakeup
from workers import runtime
from workers.request import PrivateTask

#: Seconds before a message that was refused for now is put back.
_PAUSE = 1.0


@shared_task(name=wakeup.TASK)
async def drain(queues: Sequence[str]) -> None:
    """Hand these queues ("<partition>/<name>") to the engine. Said twice or never: harmless."""
    await runtime.engine().drain(queues)


@shared_task(name="relay.submit", base=PrivateTask, bind=True, acks_late=True)
async def submit(self: PrivateTask, /, **fields: Any) -> str:
    """Accept a message. Acknowledged once it is durable; said twice, the task's id tells so.

    Who sent it hears of no refusal, so a temporary one only has it wait in the broker.
    """
    fields.setdefault("idempotency_key", f"celery:{self.request.id}")
    try:
        return await runtime.engine().submit(fields)
    except StoreUnavailable as error:
        raise Reject(error, requeue=True) from error
    except SubmissionRefused as error:
        if error.reply.permanent:
            raise
        await asyncio.sleep(_PAUSE)
        raise Reject(error, requeue=True) from error
