"""A Celery app for tests: Relay's own, with an engine that only notes what it is told.

Whatever happens in the worker is appended as one JSON line to the file that RELAY_TEST_NOTES names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celery import current_task, signals
from celery.exceptions import SoftTimeLimitExceeded

from relay.errors import StoreUnavailable, SubmissionRefused
from relay.submission import FULL
from workers.app import app
from workers.contract import Progress, Stop, WorkerInfo

NOTES = Path(os.environ.get("RELAY_TEST_NOTES", os.devnull))
WORK_WAITS = os.environ.get("RELAY_TEST_WORK_WAITS", "")


def note(what: str, **fields: Any) -> None:
    """Write one line; whole lines only, as it is one write to a file opened for appending."""
    line = json.dumps({"what": what, "at": time.time(), **fields}, default=str) + "\n"
    with NOTES.open("a") as notes:
        notes.write(line)


class NotingEngine:
    """Does nothing but notes it. A queue with "slow" in its name stays as an attempt for 2 s."""

    def __init__(self) -> None:
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._done = 0
        self._ended = asyncio.Event()

    async def start(self, worker: WorkerInfo) -> None:
        loop = type(asyncio.get_running_loop()).__module__
        note("start", hostname=worker.hostname, concurrency=worker.concurrency, loop=loop)
        if os.environ.get("RELAY_TEST_FAIL_START"):
            raise RuntimeError("no store at all")

    async def drain(self, queues: Sequence[str]) -> None:
        note("drain", queues=queues)
        self._done += 1
        for queue in queues:
            if "slow" in queue:
                self._attempts[queue] = asyncio.create_task(self._attempt(queue))

    async def _attempt(self, queue: str) -> None:
        try:
            await asyncio.sleep(60 if "endless" in queue else 2)
            note("attempt ended", queue=queue)
        finally:
            self._attempts.pop(queue, None)

    async def submit(self, fields: Mapping[str, Any]) -> str:
        note("submit", fields=dict(fields))
        self._done += 1
        if fields.get("tenant") == "unavailable" and self._done == 1:
            raise StoreUnavailable("no answer")
        if fields.get("tenant") == "full" and self._done == 1:
            raise SubmissionRefused(FULL)
        return "0123456789"

    def attempts(self) -> list[dict[str, Any]]:
        return [{"queue": queue} for queue in self._attempts]

    async def hold(self, *, queue: str, tenant: str, on: bool) -> None:
        note("hold", queue=queue, tenant=tenant, on=on)

    async def pump(self) -> None:
        note("pump")
        if WORK_WAITS == "loop":
            time.sleep(60)  # noqa: ASYNC251 -- the bug that the watchdog is for

    def progress(self) -> Progress:
        return Progress(done=self._done, waiting=1 if WORK_WAITS else 0)

    async def stop(self, mode: Stop, grace: float) -> None:
        note("stop", mode=mode, grace=grace, attempts=len(self._attempts))
        if mode is Stop.COLD:
            self._ended.set()
            for attempt in list(self._attempts.values()):
                attempt.cancel()
        while self._attempts and not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 0.02)
        note("stopped", mode=mode)


def create() -> NotingEngine:
    return NotingEngine()


app.conf.update(
    relay_engine="tests.support.worker_app:create",
    relay_pump_interval=0.2,
    relay_grace=float(os.environ.get("RELAY_TEST_GRACE", "10")),
    relay_cold_grace=1.0,
    relay_watchdog_patience=float(os.environ.get("RELAY_TEST_PATIENCE", "0")),
    worker_soft_shutdown_timeout=float(os.environ.get("RELAY_TEST_SOFT", "0")),
)


@app.task(name="test.sleep", bind=True)
async def sleep(self: Any, seconds: float, tag: str = "") -> str:
    note("began", tag=tag, id=self.request.id)
    before = self.request.id
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("cancelled", tag=tag, id=self.request.id)
        raise
    except SoftTimeLimitExceeded:
        note("soft limit", tag=tag, id=self.request.id)
        raise
    note("ended", tag=tag, id=self.request.id, same=before == self.request.id)
    return tag


@app.task(name="test.request", bind=True)
async def request(self: Any, seconds: float) -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        return str(current_task.request.id)

    await asyncio.sleep(seconds)
    note(
        "request",
        id=self.request.id,
        child=await asyncio.create_task(child()),
        task=current_task.name,
        hostname=self.request.hostname,
        delivery_info=self.request.delivery_info,
        args=self.request.args,
        headers=self.request.headers,
        called_directly=self.request.called_directly,
        retries=self.request.retries,
    )


@app.task(name="test.fail")
async def fail(text: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(text)


@app.task(name="test.sync", bind=True)
def sync(self: Any, seconds: float) -> int:
    time.sleep(seconds)
    note("sync", id=self.request.id)
    return 7


@app.task(name="test.quick")
async def quick(number: int) -> None:
    if number < 0:
        note("quick", number=number)


def _note_signal(name: str) -> Any:
    def receive(sender: Any = None, **fields: Any) -> None:
        task_id = fields.get("task_id")
        request = fields.get("request")
        if task_id is None and request is not None:
            task_id = request.id
        if task_id is None and name == "task_success":
            task_id = sender.request.id
        note(
            name,
            sender=getattr(sender, "name", None) or str(sender),
            id=task_id,
            state=fields.get("state"),
            result=fields.get("result", fields.get("retval")),
            exception=repr(fields.get("exception")),
        )

    return receive


if os.environ.get("RELAY_TEST_SIGNALS", "1") == "1":
    for _name in (
        "task_prerun",
        "task_postrun",
        "task_success",
        "task_failure",
        "task_revoked",
        "worker_process_init",
        "worker_process_shutdown",
    ):
        getattr(signals, _name).connect(_note_signal(_name), weak=False)


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    note("ready")
