"""Which task runs here: Celery's stacks of requests, kept by coroutine and no longer by thread.

Celery finds `task.request` and `current_task` on stacks that belong to a thread. Hundreds of tasks
share the loop's thread, so each is given a key of its own in a context variable, which its awaits,
its child tasks and its executor calls carry along.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from celery import Celery
from celery._state import _task_stack  # type: ignore[attr-defined]
from celery.app.task import Context
from celery.exceptions import ImproperlyConfigured

_key: ContextVar[int] = ContextVar("relay_task", default=0)


def enter(key: int) -> None:
    """From here on this coroutine is the task with that key (never 0)."""
    _key.set(key)


def _ident() -> int:
    return _key.get() or threading.get_ident()


def isolate(app: Celery) -> None:
    """Make the stacks of all tasks of `app` keep their requests apart by `enter`."""
    stacks = [task.request_stack for task in app.tasks.values()]
    for stack in [_task_stack, *stacks]:
        if not hasattr(type(stack), "__ident_func__"):
            raise ImproperlyConfigured("USE_FAST_LOCALS must not be set: tasks share a thread here")
        stack.__ident_func__ = _ident


class RequestContext(Context):
    """`task.request`, with the custom headers picked out only when somebody asks for them."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        vars(self).update(fields)
        limits = fields.get("timelimit")
        if limits:
            self.time_limit, self.soft_time_limit = limits

    @property
    def headers(self) -> Any:  # type: ignore[override]
        """Headers that are none of Celery's own."""
        return self._get_custom_headers(vars(self))  # type: ignore[attr-defined]
