"""Tasks as Celery's users know them: names, queues, acknowledgement, request, signals."""

from __future__ import annotations

import json

import pytest
from kombu import Connection, Exchange, Message, Queue

from relay.store.address import Address
from relay.store.doorbell import Doorbell
from tests.celery.conftest import StartWorker
from tests.support.valkey import ValkeyServer
from tests.support.worker import Client, Worker, eventually
from workers import transport
from workers.app import app


def test_the_app_is_relay_and_its_settings_are_explicit() -> None:
    assert app.main == "relay"
    conf = app.conf
    assert (conf.task_ignore_result, conf.task_acks_late) == (True, False)
    assert (conf.worker_prefetch_multiplier, conf.task_default_queue) == (1, "relay")
    assert conf.broker_transport_options["priority_steps"] == [0]
    assert conf.worker_enable_remote_control
    assert conf.broker_connection_retry_on_startup
    assert {"relay.drain", "relay.submit"} <= set(app.tasks)
    assert not any(getattr(task, "autoretry_for", ()) for task in app.tasks.values())


def test_drain_hands_its_queues_over(worker: Worker, producer: Client) -> None:
    producer.send("relay.drain", ["0/a.example", "0/b.example"])
    worker.wait_for("drain", queues=["0/a.example", "0/b.example"])


def test_submit_takes_a_message_as_json_fields(worker: Worker, producer: Client) -> None:
    fields = {"sender": "a@example.org", "recipients": ["b@example.com"], "content": "Subject: x"}
    task_id = producer.send("relay.submit", kwargs=fields)
    [note] = worker.wait_for("submit")
    assert note["fields"] == {**fields, "idempotency_key": f"celery:{task_id}"}


@pytest.mark.parametrize("store", ["unavailable", "full"])
def test_submit_is_acknowledged_when_durable_and_comes_again_when_not(
    start_worker: StartWorker, own_producer: Client, own_broker: ValkeyServer, store: str
) -> None:
    worker = start_worker()
    task_id = own_producer.send("relay.submit", kwargs={"tenant": store})
    first, second = worker.wait_for("submit", 2)
    assert first["fields"] == second["fields"]
    assert first["fields"]["idempotency_key"] == f"celery:{task_id}"
    eventually(lambda: own_broker.command("HLEN", "unacked") == 0, "acknowledged")


def test_content_that_is_not_json_is_refused(
    worker: Worker, producer: Client, shared_broker: ValkeyServer
) -> None:
    producer.app.conf.task_serializer = "pickle"
    producer.send("relay.drain", ["0/pickle.example"])
    eventually(lambda: "ContentDisallowed" in worker.log(), "a refusal in the log")
    assert worker.notes("drain", queues=["0/pickle.example"]) == []


def test_the_dash_q_option_selects_queues(start_worker: StartWorker, own_producer: Client) -> None:
    other = start_worker("-Q", "other")
    own_producer.send("relay.drain", ["0/left.example"])
    own_producer.send("relay.drain", ["0/taken.example"], queue="other")
    other.wait_for("drain")
    assert [note["queues"] for note in other.notes("drain")] == [["0/taken.example"]]
    assert own_producer.waiting() == 1


def test_a_task_is_acknowledged_as_soon_as_it_starts(
    start_worker: StartWorker, own_producer: Client, own_broker: ValkeyServer
) -> None:
    worker = start_worker("--concurrency=1")
    own_producer.send("test.sleep", 3, "running")
    worker.wait_for("began")
    eventually(lambda: own_broker.command("HLEN", "unacked") == 0, "nothing unacknowledged")
    assert worker.notes("ended") == []


def test_results_are_ignored_and_nothing_is_stored(
    worker: Worker, producer: Client, shared_broker: ValkeyServer
) -> None:
    task_id = producer.send("test.sleep", 0, "result")
    worker.wait_for("task_postrun", id=task_id)
    assert shared_broker.command("KEYS", "celery-task-meta-*") == []


def test_a_task_that_fails_is_not_tried_again(worker: Worker, producer: Client) -> None:
    task_id = producer.send("test.fail", "once")
    worker.wait_for("task_failure", id=task_id)
    producer.send("test.quick", -1)
    worker.wait_for("quick", number=-1)
    assert len(worker.notes("task_prerun", id=task_id)) == 1


def test_each_of_many_tasks_at_once_sees_its_own_request(worker: Worker, producer: Client) -> None:
    known = len(worker.notes("request"))
    sent = {producer.send("test.request", 0.2, headers={"tenant": "t"}) for _ in range(15)}
    notes = worker.wait_for("request", known + 15)[known:]
    assert {note["id"] for note in notes} == sent
    for note in notes:
        assert note["child"] == note["id"]
        assert (note["task"], note["hostname"]) == ("test.request", worker.name)
        assert note["delivery_info"]["routing_key"] == "relay"
        assert (note["args"], note["retries"], note["called_directly"]) == ([0.2], 0, False)
        assert note["headers"] == {"tenant": "t"}


def test_the_signals_that_integrations_hang_on_are_sent_in_order(
    worker: Worker, producer: Client
) -> None:
    good, bad = producer.send("test.sleep", 0, "good"), producer.send("test.fail", "bad")
    worker.wait_for("task_postrun", id=good, state="SUCCESS", result="good")
    worker.wait_for("task_postrun", id=bad, state="FAILURE")
    assert [note["what"] for note in worker.notes(id=good)] == [
        "task_prerun",
        "began",
        "ended",
        "task_success",
        "task_postrun",
    ]
    assert [note["what"] for note in worker.notes(id=bad)] == [
        "task_prerun",
        "task_failure",
        "task_postrun",
    ]
    assert worker.notes("task_failure", id=bad)[0]["exception"] == "ValueError('bad')"
    assert worker.notes("worker_process_init", sender=worker.name)
    order = [note["what"] for note in worker.notes()]
    assert order.index("worker_process_init") < order.index("start") < order.index("ready")


def test_a_sync_task_runs_in_a_thread_and_holds_nothing_up(
    worker: Worker, producer: Client
) -> None:
    slow = producer.send("test.sync", 1.0)
    worker.wait_for("task_prerun", id=slow)
    quick = producer.send("test.sleep", 0, "beside")
    worker.wait_for("task_postrun", id=quick)
    assert worker.notes("sync", id=slow) == []
    worker.wait_for("task_postrun", id=slow, state="SUCCESS", result=7)


def test_link_and_chain_are_refused(worker: Worker, producer: Client) -> None:
    follow = producer.app.signature("test.quick", (-2,))
    task_id = producer.send("test.sleep", 0, "linked", link=follow)
    [failure] = worker.wait_for("task_failure", id=task_id)
    assert "no meaning" in failure["exception"]
    assert worker.notes("quick", number=-2) == []


async def test_the_doorbell_is_heard_by_a_worker(
    worker: Worker, shared_broker: ValkeyServer
) -> None:
    queues = [f"0/bell{number}.example" for number in range(150)]
    bell = Doorbell(Address.parse(shared_broker.url))
    bell.ring(queues)
    await bell.depth()
    await bell.close()
    worker.wait_for("drain", queues=queues[:100])
    worker.wait_for("drain", queues=queues[100:])


def test_a_hand_made_wake_up_has_all_headers_of_celerys_own(
    own_broker: ValkeyServer, own_producer: Client
) -> None:
    from relay.store.wakeup import wake_up

    own_producer.send("relay.drain", ["0/a.example"])
    [raw] = own_broker.command("LRANGE", "relay", 0, -1)
    theirs, ours = json.loads(raw), json.loads(wake_up(["0/a.example"], "relay"))
    assert set(theirs["headers"]) - set(ours["headers"]) == set()
    assert set(theirs["properties"]) - set(ours["properties"]) == {"body_encoding"}


def unnoted(producer: Client, broker: ValkeyServer) -> bool:
    """Whether a worker has taken all there is, and the broker knows nothing of it any more."""
    return producer.waiting() == 0 and broker.command("HLEN", "unacked") == 0


def test_a_wake_up_is_not_noted_in_the_broker_and_a_submission_is(
    start_worker: StartWorker, own_producer: Client, own_broker: ValkeyServer
) -> None:
    worker = start_worker("--concurrency=1")
    own_producer.send("test.sleep", 5, "in its way")
    worker.wait_for("began")
    own_producer.send("relay.drain", ["0/a.example"])
    eventually(lambda: unnoted(own_producer, own_broker), "taken, and kept in the process alone")
    assert worker.notes("drain") == []
    worker.wait_for("drain")
    own_producer.send("test.sleep", 5, "in its way again")
    worker.wait_for("began", 2)
    own_producer.send("relay.submit", kwargs={"tenant": "t"})
    eventually(lambda: own_broker.command("HLEN", "unacked") == 1, "noted before it is done")
    worker.wait_for("submit")
    eventually(lambda: own_broker.command("HLEN", "unacked") == 0, "acknowledged")


def test_wake_ups_that_were_not_begun_are_put_back_when_a_worker_ends(
    own_producer: Client, own_broker: ValkeyServer
) -> None:
    transport.install()
    taken: list[Message] = []
    with Connection(own_broker.tcp_url) as connection:
        for number in range(3):
            own_producer.send("relay.drain", [f"0/d{number}.example"])
        queue = Queue("relay", Exchange("relay"), routing_key="relay")
        with connection.Consumer([queue], callbacks=[lambda _, message: taken.append(message)]):
            while len(taken) < 3:
                connection.drain_events(timeout=5)
        assert unnoted(own_producer, own_broker)
        begun, refused, _ = taken
        begun.ack()
        refused.requeue()
        assert own_producer.waiting() == 1
    eventually(lambda: own_producer.waiting() == 2, "put back")
    assert own_broker.command("HLEN", "unacked") == 0
