"""Running one `async def` task with what Celery promises around it: request, signals, outcome.

Celery's own tracer calls a function and has its result at once; this is the same order of things
with an await in the middle. Errors, which are rare, go through Celery's own code. What needs a
result backend or a publisher (link, chain, chord) has no meaning here and is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import signals
from celery._state import _task_stack  # type: ignore[attr-defined]
from celery.app.task import Task
from celery.app.trace import LOG_SUCCESS, TraceInfo, info, logger
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry, Terminated
from celery.states import FAILURE, IGNORED, REJECTED, RETRY, REVOKED, SUCCESS
from celery.utils.saferepr import saferepr
from kombu.serialization import loads

from relay import metrics
from workers.context import RequestContext

#: (failed, what is told to the request's callback, seconds): Celery's own triple.
Traced = tuple[int, Any, float]
#: Awaits a task's coroutine; whoever calls `trace` may put limits around it here.
Await = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]

_CANVAS = ("callbacks", "errbacks", "chain", "chord")
_STATES: tuple[tuple[type[BaseException], str], ...] = (
    (Reject, REJECTED),
    (Ignore, IGNORED),
    (Retry, RETRY),
)


async def trace(
    task: Task[..., Any],
    fields: dict[str, Any],
    message: tuple[Any, str, str],
    accept: Any,
    run: Await,
) -> Traced:
    """Run `task` for the message whose headers are `fields` and whose body is `message`."""
    started = time.monotonic()
    args, kwargs, embed = _decoded(message, accept)
    fields.update(args=args, kwargs=kwargs, is_eager=False, called_directly=False)
    request = RequestContext(fields)
    task.request_stack.push(request)
    _task_stack.push(task)
    state: str = FAILURE
    result: Any = None
    try:
        if signals.task_prerun.receivers:
            signals.task_prerun.send(
                sender=task, task_id=request.id, task=task, args=args, kwargs=kwargs
            )
        try:
            if any(embed.get(key) for key in _CANVAS):
                raise InvalidTaskError("link, chain and chord have no meaning for Relay's tasks")
            result = await run(task.run(*args, **kwargs))
        except asyncio.CancelledError:
            state = REVOKED
            return 1, _terminated(), time.monotonic() - started
        except Exception as error:  # noqa: BLE001 -- whatever a task raises is its outcome
            state, result = _state_of(error), error
            return 1, _failed(task, request, state, error), time.monotonic() - started
        state = SUCCESS
        return 0, _succeeded(task, request, result, started), time.monotonic() - started
    finally:
        metrics.TASKS_DONE[task.name, state.lower()].inc()
        metrics.TASK_SECONDS[task.name].observe(time.monotonic() - started)
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=task,
                task_id=request.id,
                task=task,
                args=args,
                kwargs=kwargs,
                retval=result,
                state=state,
            )
        _task_stack.pop()
        task.request_stack.pop()


def _decoded(message: tuple[Any, str, str], accept: Any) -> tuple[Any, Any, Any]:
    body, content_type, encoding = message
    decoded = loads(body, content_type, encoding, accept=accept) if content_type else body
    args, kwargs, embed = decoded
    return args, kwargs, embed or {}


def _state_of(error: Exception) -> str:
    return next((state for kind, state in _STATES if isinstance(error, kind)), FAILURE)


def _terminated() -> Any:
    try:
        raise Terminated("cancelled")
    except Terminated:
        return ExceptionInfo()


def _failed(task: Task[..., Any], request: RequestContext, state: str, error: Exception) -> Any:
    """Celery's own handling: on_failure, the task_failure signal, one log record."""
    outcome = TraceInfo(state, error)
    if state in (REJECTED, IGNORED):
        outcome.handle_reject(task, request)
        return ExceptionInfo(internal=True)
    return outcome.handle_error_state(task, request)


def _succeeded(task: Task[..., Any], request: RequestContext, result: Any, started: float) -> str:
    shown = "None" if result is None else saferepr(result, task.resultrepr_maxsize)
    if signals.task_success.receivers:
        signals.task_success.send(sender=task, result=result, runtime=time.monotonic() - started)
    if logger.isEnabledFor(20):
        info(
            LOG_SUCCESS,
            {
                "id": request.id,
                "name": task.name,
                "return_value": shown,
                "runtime": time.monotonic() - started,
                "args": request.get("argsrepr"),
                "kwargs": request.get("kwargsrepr"),
            },
        )
    return shown
