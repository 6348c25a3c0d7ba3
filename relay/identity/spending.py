"""Spending: messages are counted against quotas that hold for the whole fleet.

All that ask while one call is under way go with the next, so that a busy credential costs one call
of the store for many messages; one without quotas costs nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from functools import partial
from itertools import count

from relay import metrics
from relay.errors import RelayError
from relay.identity.principal import STORE, Principal, Refusal, used_up
from relay.policy.credential import Kind
from relay.store.identity import MOST_SPENT, IdentityStore, Spent

_Answer = asyncio.Future[Refusal | None]


class Spending:
    """One process's part in all quotas."""

    def __init__(self, store: IdentityStore) -> None:
        self._store = store
        self._holder = secrets.token_hex(8)
        self._seq = count(1)
        self._waiting: dict[tuple[str, str], deque[tuple[Principal, int, _Answer]]] = {}
        self._calls: set[asyncio.Task[Spent]] = set()

    def spend(self, principal: Principal, recipients: int) -> _Answer:
        """Count one message with so many recipients; the result is None where it fits.

        What was counted stays so, whatever becomes of the message.
        """
        loop = asyncio.get_running_loop()
        answer: _Answer = loop.create_future()
        if principal.quotas.unlimited:
            answer.set_result(None)
            return answer
        key = (principal.kind, principal.name)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append((principal, recipients, answer))
        else:
            self._waiting[key] = deque([(principal, recipients, answer)])
            self._call(key)
        return answer

    def _call(self, key: tuple[str, str]) -> None:
        """Say the next ones, all with the quotas that were read last."""
        waiting = self._waiting[key]
        if not waiting:
            del self._waiting[key]
            return
        batch = [waiting.popleft() for _ in range(min(len(waiting), MOST_SPENT))]
        principal = batch[-1][0]
        call = asyncio.get_running_loop().create_task(
            self._store.spend(
                principal.tenant,
                _kind(principal),
                principal.name,
                principal.quotas,
                holder=self._holder,
                seq=next(self._seq),
                recipients=[recipients for _, recipients, _ in batch],
            )
        )
        self._calls.add(call)
        call.add_done_callback(partial(self._said, key, [answer for _, _, answer in batch]))

    def _said(
        self, key: tuple[str, str], answers: list[_Answer], call: asyncio.Task[Spent]
    ) -> None:
        self._calls.discard(call)
        failure = asyncio.CancelledError() if call.cancelled() else call.exception()
        if failure is None:
            spent = call.result()
            no = used_up(spent.quota, spent.again_ms / 1000)
            granted = [None if fits else no for fits in spent.fits]
            metrics.QUOTA_REFUSED.inc(len(granted) - sum(spent.fits))
        else:
            granted = [STORE] * len(answers)
        for answer, refusal in zip(answers, granted, strict=True):
            if answer.done():
                continue
            if failure is None or isinstance(failure, RelayError | asyncio.CancelledError):
                answer.set_result(refusal)
            else:
                answer.set_exception(failure)
        self._call(key)


def _kind(principal: Principal) -> Kind:
    return "token" if principal.kind == "token" else "user"
