"""How a worker ends and survives: warm, soft and cold shutdown, a lost broker, the watchdog."""

from __future__ import annotations

import time
from signal import SIGQUIT, SIGTERM

import pytest

from tests.celery.conftest import StartWorker
from tests.support.valkey import ValkeyServer
from tests.support.worker import Client, Worker, eventually
from workers.watchdog import EXIT_CODE


def begin_attempt(worker: Worker, producer: Client) -> None:
    """Have it work on an attempt that takes 2 s and outlives its task."""
    task_id = producer.send("relay.drain", ["0/slow.example"])
    worker.wait_for("task_postrun", id=task_id)


def test_sigterm_lets_attempts_end_within_the_grace_time(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker()
    begin_attempt(worker, own_producer)
    assert worker.end(SIGTERM) == 0
    [stop] = worker.notes("stop")
    assert (stop["mode"], stop["grace"], stop["attempts"]) == ("warm", 10.0, 1)
    assert [note["what"] for note in worker.notes()][-3:] == [
        "attempt ended",
        "stopped",
        "worker_process_shutdown",
    ]


def test_an_engine_that_does_not_end_is_left_after_the_grace_time(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker(RELAY_TEST_GRACE="0.3")
    own_producer.send("relay.drain", ["0/endless-slow.example"])
    worker.wait_for("drain")
    started = time.monotonic()
    assert worker.end(SIGTERM) == 0
    assert time.monotonic() - started < 6
    assert "did not end within" in worker.log()


def test_sigterm_gives_back_what_waits_for_a_slot(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker("--concurrency=1")
    for number in range(4):
        own_producer.send("test.sleep", 1, str(number))
    worker.wait_for("began")
    assert worker.end(SIGTERM) == 0
    assert len(worker.notes("ended")) == len(worker.notes("began"))
    assert own_producer.waiting() == 4 - len(worker.notes("began"))


def test_sigquit_aborts_at_once(start_worker: StartWorker, own_producer: Client) -> None:
    worker = start_worker()
    begin_attempt(worker, own_producer)
    own_producer.send("test.sleep", 60, "long")
    worker.wait_for("began")
    worker.end(SIGQUIT, patience=8)
    [stop] = worker.notes("stop")
    assert stop["mode"] == "cold"
    assert worker.notes("attempt ended") == []
    assert worker.notes("cancelled")


def test_sigquit_with_a_soft_time_lets_attempts_end_within_it(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker(RELAY_TEST_SOFT="6")
    begin_attempt(worker, own_producer)
    worker.end(SIGQUIT, patience=10)
    [stop] = worker.notes("stop")
    assert (stop["mode"], stop["grace"]) == ("soft", 6.0)
    assert worker.notes("attempt ended")


def test_sigquit_after_sigterm_means_no_more_time(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker(RELAY_TEST_GRACE="60")
    own_producer.send("relay.drain", ["0/endless-slow.example"])
    worker.wait_for("drain")
    worker.signal(SIGTERM)
    worker.wait_for("stop", mode="warm")
    worker.signal(SIGQUIT)
    worker.end(patience=10)
    assert [note["mode"] for note in worker.notes("stop")] == ["warm", "cold"]


def test_a_broker_killed_and_back_is_consumed_again(
    start_worker: StartWorker, own_producer: Client, own_broker: ValkeyServer
) -> None:
    worker = start_worker("--concurrency=4")
    for number in range(6):
        own_producer.send("test.sleep", 0.5, str(number))
    worker.wait_for("began", 2)
    own_broker.kill()
    eventually(lambda: "Connection" in worker.log() and "lost" in worker.log(), "noticed")
    own_broker.start()
    own_producer.connection.close()
    own_producer.send("relay.drain", ["0/back.example"])
    worker.wait_for("drain", queues=["0/back.example"])
    eventually(
        lambda: own_producer.inspect("stats", worker)["pool"]["running"] == 0, "all tasks ended"
    )


def test_a_worker_that_starts_before_its_broker_waits_for_it(
    start_worker: StartWorker, own_broker: ValkeyServer
) -> None:
    own_broker.stop()
    worker = start_worker(ready=False)
    eventually(lambda: worker.log_file.exists() and "Cannot connect" in worker.log(), "tried")
    own_broker.start()
    worker.wait_for("ready")


@pytest.mark.parametrize("what", ["queue", "loop"])
def test_the_watchdog_ends_a_worker_that_makes_no_progress(
    start_worker: StartWorker, what: str
) -> None:
    worker = start_worker(ready=False, RELAY_TEST_WORK_WAITS=what, RELAY_TEST_PATIENCE="3")
    assert worker.end() == EXIT_CODE
    assert "the engine: 1 waiting and no progress for" in worker.log()


def test_the_watchdog_ends_a_worker_that_takes_nothing_from_the_broker(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker("--concurrency=1", RELAY_TEST_PATIENCE="3")
    own_producer.send("test.sleep", 60, "hangs")
    worker.wait_for("began")
    for number in range(3):
        own_producer.send("test.sleep", 0, str(number))
    assert worker.end() == EXIT_CODE
    assert "the broker: " in worker.log()


def test_the_watchdog_leaves_an_idle_worker_alone(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker(RELAY_TEST_PATIENCE="1")
    pumps = len(worker.notes("pump"))
    worker.wait_for("pump", pumps + 12)
    own_producer.send("relay.drain", ["0/alive.example"])
    worker.wait_for("drain")


def test_the_pump_is_called_in_every_worker(start_worker: StartWorker) -> None:
    workers = [start_worker(name=name) for name in ("w1", "w2")]
    for worker in workers:
        worker.wait_for("pump", 3)
        assert worker.wait_for("start")[0]["loop"] == "uvloop"


def test_an_engine_that_cannot_start_ends_the_worker_with_its_reason(
    start_worker: StartWorker,
) -> None:
    worker = start_worker(ready=False, RELAY_TEST_FAIL_START="1")
    assert worker.end() == 1
    assert "no store at all" in worker.log()


def test_the_broker_may_be_on_a_unix_socket(
    own_broker: ValkeyServer, own_producer: Client, start_worker: StartWorker
) -> None:
    worker = start_worker(RELAY_BROKER__URL=own_broker.url)
    own_producer.send("relay.drain", ["0/socket.example"])
    worker.wait_for("drain")
