"""Each way in, end to end: the octets that arrive are those that were handed over."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import AsyncRelay, Message, Relay
from relay.api import (
    Accepted,
    AccessDenied,
    IdempotencyConflict,
    InvalidMessage,
    NoSuchMessage,
)
from tests.support.relay import command, environment
from tests.support.site import Site
from tests.support.smuggling import SMUGGLED, VARIANTS
from tests.support.system import System

BODY = b".\r\n..two\r\nFrom here\r\n" + "grüße\r\n".encode() + b"x" * 998 + b"\r\n"


def raw(name: str) -> bytes:
    return (
        f"From: ann@origin.test\r\nTo: bob@{name}.test\r\nX-Test-Id: {name}\r\n"
        f"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <{name}@origin.test>\r\n\r\n"
    ).encode() + BODY


def taken(site: Site, system: System, name: str) -> bytes:
    """The content that arrived, once it has."""
    system.until(lambda: site.ids()[name], f"{name} arrives")
    [one] = site.for_recipient(f"bob@{name}.test")
    assert one.sender == "ann@origin.test"
    return one.content


def without_received(content: bytes) -> bytes:
    """What stands below the one trace header."""
    assert content.startswith(b"Received: ")
    lines = content.split(b"\r\n")
    rest = next(n for n, line in enumerate(lines) if n and not line.startswith((b" ", b"\t")))
    return b"\r\n".join(lines[rest:])


@pytest.fixture(scope="module")
def url(shared: System) -> str:
    shared.environment["RELAY_HTTP__NETWORKS"] = "127.0.0.0/8"
    return shared.start_http()


@pytest.fixture
def remote(url: str) -> Iterator[Relay]:
    with Relay(url, timeout=20) as relay:
        yield relay


def test_the_python_client_on_the_store(site: Site, system: System) -> None:
    with Relay(system.store.url, broker=system.broker.tcp_url) as relay:
        accepted = relay.submit(raw("direct"))
        assert taken(site, system, "direct") == raw("direct")
        assert relay.wait(accepted.id).recipients[0].state == "delivered"


def test_the_python_client_over_http(site: Site, system: System, remote: Relay) -> None:
    accepted = remote.submit(raw("remote"), tags=["t"])
    assert without_received(taken(site, system, "remote")) == raw("remote")
    status = remote.wait(accepted.id)
    assert (status.recipients[0].state, status.tags) == ("delivered", ("t",))
    assert status.recipients[0].attempts[0].code == 250


def test_the_client_over_http_has_the_errors_and_methods_of_the_other(
    system: System, remote: Relay
) -> None:
    hello = Message(from_="ann@origin.test", to="u@held.test", text="x")
    with pytest.raises(InvalidMessage) as caught:
        remote.submit(hello, to=["a@b.test", "nobody"])
    assert [field for field, _ in caught.value.problems] == ["to[1]"]
    many = [hello, Message(from_="ann", to="u@held.test", text="x"), hello]
    results = remote.submit_many(many, return_errors=True)
    assert [type(one) for one in results] == [Accepted, InvalidMessage, Accepted]
    first = remote.submit(hello, idempotency_key="k")
    assert remote.submit(hello, idempotency_key="k").id == first.id
    with pytest.raises(IdempotencyConflict):
        remote.submit(hello, idempotency_key="k", subject="Other")
    with pytest.raises(AccessDenied):
        remote.submit(hello, tenant="other")
    for name in ("nonsense", "../x", "0" * 20):
        with pytest.raises(NoSuchMessage):
            remote.status(name)
    remote.wait(first.id)
    assert {one.answer for one in remote.cancel(first.id)} == {"final"}
    assert {one.answer for one in remote.reschedule(first.id)} == {"final"}
    with Relay(remote._url, token="relay_wrong") as stranger, pytest.raises(AccessDenied) as denied:
        stranger.submit(hello)
    assert not denied.value.known


async def test_events_come_over_http(url: str, system: System) -> None:
    async with AsyncRelay(url) as relay:
        # An id has a place in each partition.
        events = relay.events(",".join(["0-0"] * len(system.partitions)))
        accepted = await relay.submit(from_="ann@origin.test", to="u@events.test", text="x")
        told = []
        async with asyncio.timeout(30):
            async for event in events:
                if event.message == accepted.id:
                    told.append(event.type)
                if "delivered" in told:
                    break
    assert told == ["accepted", "delivered"]


def test_no_variant_of_an_end_of_data_smuggles(site: Site, system: System, remote: Relay) -> None:
    variants = {f"smuggle{number}": octets for number, octets in enumerate(VARIANTS.values())}
    contents = [
        raw(name) + b"body" + octets + SMUGGLED + b"\r\n.\r\n" for name, octets in variants.items()
    ]
    with Relay(system.store.url, broker=system.broker.tcp_url) as direct:
        for relay in (remote, direct):
            results = relay.submit_many(contents, return_errors=True)
            refused = [isinstance(one, InvalidMessage) for one in results]
            assert refused == [b"\0" in octets for octets in variants.values()]
    through = [name for name, octets in variants.items() if b"\0" not in octets]
    system.until(lambda: all(site.ids()[name] == 2 for name in through), "each arrives twice")
    for name in variants:
        for one in site.for_recipient(f"bob@{name}.test"):
            assert b"\r\nMAIL FROM:<evil@evil.example>\r\n" in one.content
            ends = {one.content.count(end) for end in (b"\n", b"\r", b"\r\n")}
            assert len(ends) == 1
    assert not site.for_recipient("victim@d.example")


def test_curl_over_http(site: Site, system: System, url: str) -> None:
    body = {"from": "ann@origin.test", "to": "bob@curl.test", "text": "Hello.\n",
            "headers": {"X-Test-Id": "curl"}}  # fmt: skip
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", f"{url}/v1/messages",
         "-H", "Content-Type: application/json", "-d", json.dumps(body)],
        capture_output=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    content = taken(site, system, "curl")
    assert content.endswith(b"\r\n\r\nHello.\r\n")


def sendmail(system: System, *words: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command("sendmail", *words),
        env=system.environment,
        input=stdin,
        capture_output=True,
        cwd=system.directory,
        timeout=30,
    )


def test_relay_sendmail(site: Site, system: System) -> None:
    done = sendmail(system, "-t", "-i", "-f", "ann@origin.test",
                    stdin=raw("sendmail").replace(b"\r\n", b"\n"))  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert without_received(taken(site, system, "sendmail")) == raw("sendmail")
    asked = sendmail(system, "-i", "-f", "ann@origin.test", "-N", "never", "--", "bob@never.test",
                     stdin=raw("never"))  # fmt: skip
    assert asked.returncode == 0
    assert without_received(taken(site, system, "never")) == raw("never")
    assert sendmail(system, "nobody@[", stdin=raw("x")).returncode == 67


DJANGO = """
from django.core.mail import EmailMultiAlternatives, send_mail, get_connection
from relay.errors import StoreUnavailable

mail = EmailMultiAlternatives(
    "Grüße", "Hallo.", "Ann <ann@origin.test>", ["Bob <bob@django.test>"], bcc=["cy@django.test"],
    headers={"X-Test-Id": "django"},
)
mail.attach_alternative("<p>Hallo.", "text/html")
mail.attach("März.txt", "Hallo", "text/plain")
mail.tags, mail.metadata = ["welcome"], {"order": 7}
assert mail.send() == 1
print(mail.relay_id, mail.anymail_status.message_id == mail.relay_id)
assert send_mail("a", "b", "ann@origin.test", [], fail_silently=False) == 0
bad = "nobody at all"
assert send_mail("a", "b", "ann@origin.test", [bad], fail_silently=True) == 0
try:
    send_mail("a", "b", "ann@origin.test", [bad])
except Exception as error:
    print(type(error).__name__)
lost = get_connection(url="unix:///nowhere", timeout=1)
try:
    send_mail("a", "b", "ann@origin.test", ["u@django.test"], connection=lost)
except StoreUnavailable as error:
    print("StoreUnavailable")
"""


@pytest.mark.parametrize("way", ["store", "http"])
def test_a_django_project(site: Site, system: System, url: str, tmp_path: Path, way: str) -> None:
    options = (
        {"url": url}
        if way == "http"
        else {"url": system.store.url, "broker": system.broker.tcp_url}
    )
    name = f"django{way}"
    run = environment(DJANGO_SETTINGS_MODULE="shop.settings")
    start = [sys.executable, "-m", "django", "startproject", "shop", "."]
    subprocess.run(start, cwd=tmp_path, env=environment(), check=True, timeout=60)
    with (tmp_path / "shop" / "settings.py").open("a") as file:
        file.write('\nEMAIL_BACKEND = "relay.contrib.django.EmailBackend"\n')
        file.write(f"RELAY = {options!r}\n")
    code = DJANGO.replace("django.test", f"{name}.test").replace('"django"', f'"{name}"')
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=tmp_path,
        env=run,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    id_, same, *errors = done.stdout.split()
    assert (same, errors) == ("True", ["InvalidMessage", "StoreUnavailable"])
    system.until(lambda: site.ids()[name] == 2 or len(site.for_recipient(f"cy@{name}.test")), name)
    [one] = site.for_recipient(f"bob@{name}.test")
    assert b"Subject: =?utf-8?" in one.content
    assert b"cy@" not in one.content
    assert b"multipart/alternative" in one.content
    shown = system.relay("show", id_)
    assert (shown["tags"], shown["metadata"]) == (["welcome"], {"order": "7"})
    assert {to["address"] for to in shown["recipients"]} == {f"bob@{name}.test", f"cy@{name}.test"}
