"""Slots and limits: how many tasks run at once, how long, and how they are called off."""

from __future__ import annotations

from signal import Signals

from tests.celery.conftest import StartWorker
from tests.support.worker import Client, Worker, eventually


def most_at_once(worker: Worker) -> int:
    """How many of the noted sleeps overlapped at most."""
    changes = [(note["at"], 1) for note in worker.notes("began")]
    changes += [(note["at"], -1) for note in worker.notes("ended")]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def test_concurrency_limits_what_runs(start_worker: StartWorker, own_producer: Client) -> None:
    worker = start_worker("--concurrency=3")
    for number in range(9):
        own_producer.send("test.sleep", 0.2, str(number))
    worker.wait_for("ended", 9)
    assert most_at_once(worker) == 3


def test_hundreds_of_tasks_run_at_once(start_worker: StartWorker, own_producer: Client) -> None:
    worker = start_worker("--concurrency=300", RELAY_TEST_SIGNALS="0")
    for number in range(300):
        own_producer.send("test.sleep", 3, str(number))
    worker.wait_for("ended", 300)
    assert most_at_once(worker) > 200


def test_autoscale_grows_and_shrinks(start_worker: StartWorker, own_producer: Client) -> None:
    worker = start_worker("--autoscale=6,2", AUTOSCALE_KEEPALIVE="1")
    assert own_producer.inspect("stats", worker)["pool"]["max-concurrency"] == 2
    for number in range(6):
        own_producer.send("test.sleep", 2, str(number))
    worker.wait_for("began", 6)
    assert own_producer.inspect("stats", worker)["pool"]["max-concurrency"] == 6
    worker.wait_for("ended", 6)
    eventually(
        lambda: own_producer.inspect("stats", worker)["pool"]["max-concurrency"] == 2, "shrunk"
    )


def test_pool_grow_and_pool_shrink_move_the_limit(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker("--concurrency=2")
    own_producer.control("pool_grow", worker, n=2)
    for number in range(4):
        own_producer.send("test.sleep", 1, str(number))
    worker.wait_for("began", 4)
    worker.wait_for("ended", 4)
    assert most_at_once(worker) == 4
    own_producer.control("pool_shrink", worker, n=3)
    assert own_producer.inspect("stats", worker)["pool"]["max-concurrency"] == 1


def test_the_soft_time_limit_is_thrown_into_the_task(worker: Worker, producer: Client) -> None:
    task_id = producer.send("test.sleep", 30, "soft", soft_time_limit=1)
    worker.wait_for("soft limit", id=task_id)
    worker.wait_for("task_failure", id=task_id, exception="SoftTimeLimitExceeded(1)")
    assert worker.notes("cancelled", id=task_id) == []


def test_the_hard_time_limit_ends_the_task(worker: Worker, producer: Client) -> None:
    task_id = producer.send("test.sleep", 30, "hard", time_limit=1)
    worker.wait_for("cancelled", id=task_id)
    worker.wait_for("task_failure", id=task_id, exception="TimeLimitExceeded(1)")
    eventually(lambda: not _active(worker, producer), "nothing active")


def test_the_workers_own_time_limits_hold_for_all_tasks(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker("--soft-time-limit=1", "--time-limit=20")
    task_id = own_producer.send("test.sleep", 30, "worker's")
    worker.wait_for("soft limit", id=task_id)
    assert own_producer.inspect("stats", worker)["pool"]["timeouts"] == [1, 20]


def test_revoke_discards_a_task_that_has_not_begun(worker: Worker, producer: Client) -> None:
    task_id = "11111111-1111-1111-1111-111111111111"
    producer.control("revoke", worker, task_id=task_id)
    producer.send("test.sleep", 0, "revoked", task_id=task_id)
    worker.wait_for("task_revoked", id=task_id)
    assert worker.notes("began", id=task_id) == []


def test_revoke_with_terminate_cancels_a_running_task(worker: Worker, producer: Client) -> None:
    task_id = producer.send("test.sleep", 30, "terminated")
    worker.wait_for("began", id=task_id)
    producer.control("revoke", worker, task_id=task_id, terminate=True)
    worker.wait_for("cancelled", id=task_id)
    worker.wait_for("task_revoked", id=task_id)
    worker.wait_for("task_postrun", id=task_id, state="REVOKED")
    eventually(lambda: not _active(worker, producer), "nothing active")
    assert worker.process is not None
    assert worker.process.poll() is None


def test_max_tasks_per_child_is_refused(start_worker: StartWorker) -> None:
    for option in ("--max-tasks-per-child=10", "--max-memory-per-child=1000"):
        worker = start_worker(option, ready=False)
        assert worker.end() != 0
        assert "has no meaning here" in worker.log()
        assert option.partition("=")[0] in worker.log()


def test_another_pool_is_refused(start_worker: StartWorker) -> None:
    worker = start_worker("-P", "solo", ready=False)
    assert worker.end() != 0
    assert "Relay's tasks need its own pool" in worker.log()


def test_a_custom_pool_by_environment_is_ours_too(
    start_worker: StartWorker, own_producer: Client
) -> None:
    worker = start_worker("-P", "custom", CELERY_CUSTOM_WORKER_POOL="workers.pool:AsyncioPool")
    pool = own_producer.inspect("stats", worker)["pool"]
    assert pool["implementation"] == "workers.pool:AsyncioPool"
    assert worker.end(Signals.SIGTERM) == 0


def _active(worker: Worker, producer: Client) -> list[object]:
    active: list[object] = producer.inspect("active", worker)
    return active
