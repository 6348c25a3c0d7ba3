"""What operators see and say: inspect, control, events, Flower."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.celery.conftest import StartWorker
from tests.support.ports import free_port
from tests.support.valkey import ValkeyServer
from tests.support.worker import ROOT, Client, Worker, eventually


def test_inspect_stats_and_active_tell_true_figures(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker("--concurrency=2")
    sent = [own_producer.send("test.sleep", 2, str(number)) for number in range(2)]
    worker.wait_for("began", 2)
    stats = own_producer.inspect("stats", worker)
    assert stats["pool"]["implementation"] == "workers.pool:AsyncioPool"
    assert stats["pool"]["max-concurrency"] == 2
    assert stats["pool"]["running"] == 2
    assert stats["total"] == {"test.sleep": 2}
    assert stats["prefetch_count"] == 2
    active = own_producer.inspect("active", worker)
    assert sorted(task["id"] for task in active) == sorted(sent)
    worker.wait_for("ended", 2)
    eventually(lambda: own_producer.inspect("active", worker) == [], "nothing active")
    assert own_producer.inspect("stats", worker)["pool"]["running"] == 0


def test_inspect_relay_attempts_shows_attempts_that_outlive_their_task(
    worker: Worker, producer: Client, shared_broker: ValkeyServer
) -> None:
    task_id = producer.send("relay.drain", ["0/slow.example"])
    worker.wait_for("task_postrun", id=task_id)
    answer = producer.inspect("relay_attempts", worker)
    assert answer == {"attempts": [{"queue": "0/slow.example"}], "total": 1}
    shown = celery_command(worker, "inspect", "relay_attempts", "--json", "-d", worker.name)
    assert worker.name in json.loads(shown)


def test_control_relay_hold_reaches_the_engine(worker: Worker, producer: Client) -> None:
    assert producer.control("relay_hold", worker, queue="a.example")["ok"] == "held: a.example"
    celery_command(worker, "control", "-d", worker.name, "relay_hold", "a.example", "yes")
    assert [note["on"] for note in worker.wait_for("hold", 2)] == [True, False]


def celery_command(worker: Worker, *arguments: str) -> str:
    """What `celery -A workers.app ...` prints."""
    command = [sys.executable, "-m", "celery", "-A", "workers.app", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=worker.environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def events_of(producer: Client) -> Iterator[list[dict[str, Any]]]:
    """The events that workers send meanwhile."""
    seen: list[dict[str, Any]] = []
    ready = threading.Event()

    def listen() -> None:
        with producer.app.connection_for_read() as connection:
            receiver = producer.app.events.Receiver(connection, handlers={"*": seen.append})
            with receiver.consumer_context() as (connection, _, _):
                ready.set()
                while not stop.is_set():
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        continue

    stop = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    try:
        assert ready.wait(10)
        yield seen
    finally:
        stop.set()
        thread.join(10)


def test_events_are_sent_with_short_arguments(worker: Worker, producer: Client) -> None:
    queues = [f"0/quite-a-long-name-{number}.example" for number in range(50)]
    with events_of(producer) as seen:
        task_id = producer.send("relay.drain", queues)
        failed = producer.send("test.fail", "event")
        eventually(
            lambda: {event["type"] for event in seen} >= {"task-succeeded", "task-failed"}, "events"
        )
    mine = [event for event in seen if event.get("uuid") == task_id]
    kinds = [event["type"] for event in mine]
    assert kinds == ["task-received", "task-started", "task-succeeded"]
    assert 0 < len(mine[0]["args"]) <= 120
    assert any(event["type"] == "task-failed" and event["uuid"] == failed for event in seen)


def test_mail_in_a_task_is_never_shown(start_worker: StartWorker, own_producer: Client) -> None:
    worker = start_worker("-E", "--concurrency=1")
    own_producer.send("test.sleep", 1, "first")
    worker.wait_for("began")
    with events_of(own_producer) as seen:
        own_producer.send("relay.submit", kwargs={"sender": "secret@example.org"})
        worker.wait_for("submit")
        eventually(lambda: any(event["type"] == "task-succeeded" for event in seen), "events")
    told = json.dumps(seen) + json.dumps(own_producer.inspect("stats", worker)) + worker.log()
    assert "secret" not in told


def test_flower_shows_workers_and_tasks(worker: Worker, producer: Client) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "workers.app",
        "flower",
        f"--port={port}",
        "--address=127.0.0.1",
        "--basic-auth=op:pw",
        "--max-tasks=100",
    ]
    flower = subprocess.Popen(
        command,
        cwd=ROOT,
        env=worker.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ask(path: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        login = base64.b64encode(b"op:pw").decode()
        request.add_header("Authorization", f"Basic {login}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.HTTPError, OSError):
            return None

    try:
        shown = eventually(lambda: (ask("/api/workers?refresh=1") or {}).get(worker.name), "worker")
        assert shown["stats"]["pool"]["max-concurrency"] == 20
        assert "relay.drain" in shown["registered"]

        def task_shown() -> Any:
            task_id = producer.send("relay.drain", ["0/flower.example"])
            worker.wait_for("task_postrun", id=task_id)
            return (ask("/api/tasks") or {}).get(task_id)

        assert eventually(task_shown, "a task")["name"] == "relay.drain"
    finally:
        flower.kill()  # it does not end on SIGTERM while the broker waits
        flower.wait(10)
