"""Every instrument moves: all that can become of mail happens once, and each role is scraped."""

from __future__ import annotations

import contextlib
import json
import smtplib
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.error import HTTPError

import pytest

from relay import metrics
from relay.mail.ids import partition_of
from relay.metrics.document import Entry, entries
from tests.support.dns import Zone
from tests.support.metered import Metered, Watcher, get
from tests.support.site import Manner, Site
from tests.support.source import eventually, post, submit
from tests.support.system import Process, freeze, thaw
from tests.support.worker import Client

VARIABLES = {
    "RELAY_LEASE__SECONDS": "2s",
    "RELAY_LEASE__DEADLINE": "1s",
    "RELAY_RETRY__FIRST": "1s",
    # A worker that is frozen here is to go on afterwards.
    "RELAY_WORKER__WATCHDOG": "0",
    "RELAY_SMTP__LIMITS__CONNECTIONS_PER_ADDRESS": "20",
    "RELAY_HTTP__NETWORKS": "127.0.0.0/8",
}
#: Instruments, labels of theirs, or single values of those that stay at 0 here, and why.
EXCEPTIONS: dict[tuple[str, ...], str] = {
    ("relay_records_unreadable_total",): "takes a newer version or damage: tests/store",
    ("relay_logins_total",): "nobody logs in here: tests/identity",
    ("relay_login_seconds",): "the same",
    ("relay_quota_refusals_total",): "the same",
    ("relay_store_seconds", "call", "spend"): "the same",
    ("relay_store_replication_seconds",): "takes replicas: tests/store",
    ("relay_store_replication_short_total",): "the same",
    ("relay_messages_withdrawn_total",): "the same",
    ("relay_build_info",): "it says 1 of what it names",
    ("relay_settles_fenced_total",): "takes a race: tests/delivery/test_counts.py",
    ("relay_dsns_refused_total",): "takes a bug or a clash of ids: tests/feedback",
    ("relay_messages_refused_total", "reason"): "each reply: tests/cli/test_counts.py",
    ("relay_messages_refused_total", "way", "dsn"): "takes a store that is full just then",
    ("relay_messages_repeated_total", "way", "smtp"): "SMTP has no idempotency key",
    ("relay_messages_repeated_total", "way", "dsn"): "takes a projector that dies half-way",
    ("relay_deliveries_held_total", "reason", "poison"): "takes three workers to die of it",
    ("relay_connections_failed_total", "phase"): "how a session can fail: tests/smtp",
    ("relay_tls_sessions_total", "version"): "the hosts here offer none: tests/smtp",
    ("relay_tls_sessions_total", "level"): "the same",
    ("relay_reception_tls_total",): "no certificate is set here: tests/ingress",
    ("relay_certificate_expires_timestamp_seconds",): "the same: tests/ingress/test_certificate.py",
    ("relay_failures_total", "category"): "each reply: tests/policy/test_category.py",
    ("relay_path_failures_total", "category"): "the same",
    ("relay_lane_stored_bytes",): "takes tenants: tests/console/test_fleet.py",
    ("relay_path_waiting",): "takes a site that is full: tests/console/test_fleet.py",
    ("relay_celery_tasks_total", "state"): "how a task ends: tests/celery",
    ("relay_outbox_lag_seconds",): "it is through sooner than it is looked at: tests/console",
    ("relay_queue_overdue",): "workers ring in time: tests/console/test_fleet.py",
    ("relay_path_refused_total", "reason", "rate"): "no rate is set here",
    ("relay_path_refused_total", "reason", "breaker"): "a dead site's queues rest: test_dispatch",
    ("relay_path_refused_total", "reason", "store"): "takes a store that is away just then",
    ("relay_dns_queries_total", "result", "timeout"): "takes its time: tests/lookup",
    ("relay_dns_queries_total", "type", "TLSA"): "DANE is off: tests/delivery/test_secure.py",
    ("relay_mta_sts_fetches_total",): "they are at port 443: tests/lookup/test_mta_sts.py",
    ("relay_store_failures_total", "reason"): "the store is but restarted here",
    ("relay_outcomes_total", "reply", "5yz"): "counted with bounced",
    ("relay_http_requests_total", "status"): "each problem: tests/ingress/http",
    ("relay_http_requests_open",): "over sooner than it is looked at",
}
_ENTRIES = list(entries(metrics.FLEET.collect()))
_NAMES = [entry for entry in _ENTRIES if (entry.name,) not in EXCEPTIONS]
_VALUES = [
    (entry, label, value)
    for entry in _NAMES
    for label, values in entry.labels.items()
    for value in values
    if not {(entry.name, label), (entry.name, label, value)} & EXCEPTIONS.keys()
]


def shown_as(entry: Entry) -> str:
    """The series that tells whether an instrument ever moved."""
    suffix = {"histogram": "_count", "gaugehistogram": "_bucket"}
    return entry.name + suffix.get(entry.kind, "")


@pytest.fixture(scope="module")
def watched() -> Iterator[Watcher]:
    """What all roles have shown, once everything has happened."""
    with ExitStack() as stack:
        site = stack.enter_context(Site())
        system = stack.enter_context(Metered(site, VARIABLES, workers=2))
        exporter = system.start_exporter()
        watcher = stack.enter_context(Watcher(system))
        system.store.command("CONFIG", "SET", "maxmemory", "1gb")
        submit_all_kinds(site, system)
        submit_by_celery(site, system)
        ask_over_http(system, watcher)
        keep_sessions(system, exporter, watcher)
        cancel(site, system)
        lose_content(site, system)
        crowd(system, watcher)
        lose_workers(site, system)
        freeze_workers(site, system, exporter)
        lose_servers(site, system)
        watcher.look()
        yield watcher


def ask_over_http(system: Metered, watcher: Watcher) -> None:
    """Each route once, a repeated key, a bad message; and a stream that is open for a while."""
    url = system.start_http()
    api = system.processes[-1]

    def ask(path: str, fields: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        data = None if fields is None else json.dumps(fields).encode()
        headers |= {"Content-Type": "application/json"}
        request = urllib.request.Request(url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return answer.status, found
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    one = {"from": "s@origin.test", "to": ["h@two.test"], "subject": "h", "text": "h"}
    status, first = ask("/v1/messages", one, **{"Idempotency-Key": "over-http"})
    assert status == 202, first
    assert ask("/v1/messages", one, **{"Idempotency-Key": "over-http"})[1]["id"] == first["id"]
    assert ask("/v1/messages", one | {"subject": "x\r\ny"})[0] == 422
    later = one | {"send_at": "2999-01-01T00:00:00Z"}
    assert ask("/v1/messages:batch", {"messages": [one]})[0] == 200
    assert ask("/v1/messages", later)[0] in (202, 422)
    assert ask("/v1/messages")[0] == 200
    assert ask(f"/v1/messages/{first['id']}")[0] == 200
    assert ask("/v1/complaints", {"message": first["id"]})[0] == 202
    assert ask("/v1/credentials")[0] == 403
    assert ask("/v1/suppressions")[0] == 501
    assert ask("/openapi.json")[0] == 200
    assert ask("/nowhere")[0] == 404
    for verb, fields in (
        ("send-now", {}), ("reschedule", {"send_at": "2027-01-01T00:00:00Z"}), ("cancel", {}),
    ):  # fmt: skip
        ask(f"/v1/messages/{first['id']}:{verb}", fields)
    with urllib.request.urlopen(url + "/v1/events", timeout=10):
        system.until_shows(api, "relay_http_streams_open")
        watcher.look()


def keep_sessions(system: Metered, exporter: Process, watcher: Watcher) -> None:
    """With a host that takes its time, until the exporter has looked at it."""
    submit(system.port, *(post(f"k{n}", f"r{n}@slow.test") for n in range(10)))
    system.until_shows(exporter, "relay_path_connections")
    watcher.look()
    # Whoever has an attempt later on is to have that one.
    eventually(
        lambda: not any(system.value(one, "relay_attempts_open") for one in system.workers),
        "no attempt is under way",
    )


def until_taken(site: Site, id_: str, times: int = 1) -> None:
    """Wait until the hosts took a message so often."""
    eventually(lambda: site.ids()[id_] >= times, f"{id_} is taken")


def until_a_worker_shows(system: Metered, name: str, **labels: str) -> None:
    """Wait until one of them shows more than 0."""
    eventually(
        lambda: any(system.value(worker, name, **labels) for worker in system.workers),
        f"{name} {labels}",
    )


def submit_all_kinds(site: Site, system: Metered) -> None:
    """Delivered, deferred, bounced, told by a DSN; a dead site, a slow one, one without DNS."""
    shared = Zone(mx=["10 mx.shared.test."])
    system.dns.zones |= {
        "one.test": shared,
        "two.test": shared,
        "three.test": shared,
        "down.test": Zone(mx=["10 mx.down.test."]),
        "mx.down.test": Zone(a=["127.9.9.9"]),
        "mute.test": Zone(rcode="SERVFAIL"),
    }
    site.manners |= {
        "grey@one.test": Manner(dot="451 4.7.1 later", times=1),
        "gone@one.test": Manner(rcpt="550 5.1.1 who?"),
        "busy.test": Manner(delay=0.05),
        "slow.test": Manner(delay=3.0),
    }
    # Of two workers one gets two of these, and knows their host by the second time.
    for domain in ("one.test", "two.test", "three.test"):
        submit(system.port, post(domain, f"a@{domain}"))
        until_taken(site, domain)
    submit(system.port, *(post(f"m{n}", f"r{n}@two.test") for n in range(30)))
    submit(
        system.port,
        post("kinds", "grey@one.test", "gone@one.test", "a@slow.test", "a@nowhere.example"),
        post("dead", "a@down.test", "b@down.test", "a@mute.test"),
        *(post(f"b{n}", f"r{n}@busy.test") for n in range(40)),
    )
    system.until(lambda: len(site.for_recipient("grey@one.test")) == 1)
    system.until(lambda: site.for_recipient("sender@origin.test"), "a DSN")
    system.until(lambda: len([one for one in site.taken if one.id.startswith(("m", "b"))]) >= 70)


def submit_by_celery(site: Site, system: Metered) -> None:
    """The same twice, another one under the same key, and one whose time is short."""
    site.manners["short.test"] = Manner(dot="451 4.7.1 later")
    fields = {"sender": "a@origin.test", "recipients": ["a@api.test"], "content": "To: a\n\nhi\n"}
    keyed = fields | {"idempotency_key": "k"}
    soon = round(time.time() * 1000) + 1500
    short = fields | {"recipients": ["a@short.test"], "expires_at_ms": soon}
    client = Client(system.broker.tcp_url)
    try:
        for one in (keyed, keyed, keyed | {"content": "To: a\n\nho\n"}, short):
            client.send("relay.submit", kwargs=one)
        system.until(lambda: site.for_recipient("a@api.test"))
        until_a_worker_shows(system, "relay_messages_repeated_total", way="api")
        until_a_worker_shows(system, "relay_messages_refused_total", way="api")
        until_a_worker_shows(system, "relay_outcomes_total", outcome="expired")
    finally:
        client.connection.release()
        client.app.close()


def cancel(site: Site, system: Metered) -> None:
    """Stop what is deferred."""
    site.manners["never.test"] = Manner(dot="451 4.7.1 later")
    [id_] = submit(system.port, post("never", "a@never.test")).values()
    system.until(lambda: len(site.refused) > 1)
    system.relay("cancel", id_)
    until_a_worker_shows(system, "relay_outcomes_total", outcome="cancelled")


def lose_content(site: Site, system: Metered) -> None:
    """What cannot be sent any more is held."""
    site.manners["lost.test"] = Manner(dot="451 4.7.1 later")
    before = len(site.refused)
    [id_] = submit(system.port, post("lost", "a@lost.test")).values()
    system.until(lambda: len(site.refused) > before)
    system.store.command("DEL", system.partitions[partition_of(id_)].content(id_))
    system.until(lambda: system.left().get("held"), lambda: system.left())


def crowd(system: Metered, watcher: Watcher) -> None:
    """More clients than are let in; one that does not speak SMTP well."""
    with ExitStack() as stack:
        clients = []
        for _ in range(20):
            with contextlib.suppress(smtplib.SMTPConnectError):
                clients.append(stack.enter_context(smtplib.SMTP("127.0.0.1", system.port)))
        clients[0].docmd("FOO")
        with pytest.raises(smtplib.SMTPConnectError):
            smtplib.SMTP("127.0.0.1", system.port)
        system.until_shows(system.smtp, "relay_reception_connections_refused_total")
        watcher.look()


def who_is_at_it(system: Metered) -> Process:
    """The worker that has something leased."""
    busy: list[Process] = []

    def look() -> bool:
        busy[:] = [w for w in system.workers if system.value(w, "relay_attempts_open")]
        return bool(busy)

    eventually(look, "a worker with an attempt")
    return busy[0]


def lose_workers(site: Site, system: Metered) -> None:
    """One is killed while it waits for a reply; another one takes its delivery."""
    site.manners["killed.test"] = Manner(delay=20, times=1)
    submit(system.port, post("killed", "a@killed.test"))
    until_taken(site, "killed")
    worker = who_is_at_it(system)
    system.workers.remove(worker)
    worker.kill()
    system.start_worker()
    until_taken(site, "killed", 2)
    until_a_worker_shows(system, "relay_leases_reclaimed_total")


def freeze_workers(site: Site, system: Metered, exporter: Process) -> None:
    """One stands still for longer than its lease, and hears of it; then both do."""
    site.manners["frozen.test"] = Manner(delay=20, times=1)
    submit(system.port, post("frozen", "a@frozen.test"))
    until_taken(site, "frozen")
    worker = who_is_at_it(system)
    freeze(worker)
    until_taken(site, "frozen", 2)
    thaw(worker)
    system.until_shows(worker, "relay_leases_lost_total")
    for one in system.workers:
        freeze(one)
    # Whoever waits for a task in the broker gets one there, frozen or not; further ones stay.
    waiting = 0
    while not system.broker.command("LLEN", "relay"):
        waiting += 1
        submit(system.port, post("waits", f"a@waits{waiting}.test"))
    system.until_shows(exporter, "relay_broker_tasks")
    system.until_shows(exporter, "relay_queue_deliveries", state="ready")
    for one in system.workers:
        thaw(one)
    until_taken(site, "waits", waiting)


def lose_servers(site: Site, system: Metered) -> None:
    """A broker that takes nothing more, and a store that is killed."""
    system.broker.command("CONFIG", "SET", "maxmemory", "1")
    submit(system.port, post("unrung", "a@unrung.test"))
    system.until_shows(system.smtp, "relay_doorbell_dropped_total")
    system.broker.command("CONFIG", "SET", "maxmemory", "0")
    system.store.kill()
    for process in (*system.workers, system.smtp):
        system.until_shows(process, "relay_store_failures_total")
    system.store.start()
    submit(system.port, post("after", "a@after.test"))
    until_taken(site, "after")


@pytest.mark.parametrize("entry", _NAMES, ids=lambda entry: entry.name)
def test_an_instrument_moves(watched: Watcher, entry: Entry) -> None:
    assert watched.moved(shown_as(entry), {})


@pytest.mark.parametrize(
    ("entry", "label", "value"),
    [pytest.param(*one, id=f"{one[0].name}-{one[1]}-{one[2]}") for one in _VALUES],
)
def test_a_label_has_each_of_its_values(
    watched: Watcher, entry: Entry, label: str, value: str
) -> None:
    assert watched.moved(shown_as(entry), {label: value})


def test_the_exceptions_are_about_instruments_that_there_are() -> None:
    names = {(entry.name,) for entry in _ENTRIES}
    labels = {(entry.name, label) for entry in _ENTRIES for label in entry.labels}
    values = {
        (entry.name, label, value)
        for entry in _ENTRIES
        for label, some in entry.labels.items()
        for value in some
    }
    assert EXCEPTIONS.keys() <= names | labels | values


def test_an_exporter_is_there_before_its_store_and_says_so() -> None:
    with Metered(None, VARIABLES, workers=0) as system:
        system.store.kill()
        exporter = system.start_exporter()
        eventually(lambda: system.scrape(exporter), "the exporter answers")
        assert system.value(exporter, "relay_store_up") == 0
        system.until_shows(exporter, "relay_broker_up")
        with pytest.raises(HTTPError) as refused:
            get(system.ports[exporter], "/health/ready")
        with refused.value as answer:
            [reason] = json.loads(answer.read())["reasons"]
        assert answer.status == 503
        assert reason.startswith("the store cannot be read: ")
        system.store.start()
        system.until_shows(exporter, "relay_store_up")
        assert json.loads(get(system.ports[exporter], "/health/ready"))["status"] == "ok"
        system.store.kill()
        eventually(lambda: system.value(exporter, "relay_store_up") == 0, "it is down")
        assert exporter.process.poll() is None
