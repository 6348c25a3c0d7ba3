"""The table of test_ways_in.py for the ways in that take fields: HTTP, the Python client on the
store, the Celery task and sendmail. Nothing goes anywhere but to who is named, whole and alone;
seen at the hosts that it would have reached."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from relay import Message, Relay
from relay.errors import RelayError
from tests.e2e.test_ways_in import CONTROLS, PATHS, TRICKS
from tests.support.relay import command
from tests.support.site import Site
from tests.support.smuggling import SMUGGLED, VARIANTS
from tests.support.system import System
from tests.support.worker import client as celery_client

#: Submits content with an id to one recipient: whether it was taken; None where that is not told.
Submit = Callable[[str, str, bytes], bool | None]
WAYS = ("http", "batch", "store", "celery", "sendmail")
SENDER = "ann@origin.test"
_NUMBERS = count()


def fresh() -> str:
    return f"field{next(_NUMBERS)}"


def content(id_: str, body: bytes = b"hello\r\n", *fields: bytes) -> bytes:
    head = [f"X-Test-Id: {id_}".encode(), b"From: ann@origin.test", b"Message-ID: <a@b>"]
    return b"\r\n".join([*head, b"Date: Thu, 1 Jan 2026 00:00:00 +0000", *fields, b"", body])


@pytest.fixture(scope="module")
def url(shared: System) -> str:
    shared.environment["RELAY_HTTP__NETWORKS"] = "127.0.0.0/8"
    return shared.start_http()


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as made:
        yield made


@pytest.fixture
def submit(request: pytest.FixtureRequest, system: System, api: httpx.Client) -> Iterator[Submit]:
    """The way in that the test is told to take."""
    way = request.param
    if way == "store":
        with Relay(system.store.url, broker=system.broker.tcp_url) as relay:
            yield lambda sender, to, octets: _to_store(relay, sender, to, octets)
    elif way == "celery":
        with celery_client(system.broker.tcp_url) as producer:
            yield lambda sender, to, octets: _as_task(producer, sender, to, octets)
    elif way == "sendmail":
        yield lambda sender, to, octets: _by_sendmail(system, sender, to, octets)
    else:
        yield lambda sender, to, octets: _over_http(api, way, sender, to, octets)


def _over_http(api: httpx.Client, way: str, sender: str, to: str, octets: bytes) -> bool:
    raw = base64.b64encode(octets).decode()
    fields = {"envelope_sender": sender, "bcc": to, "raw": raw}
    if way == "http":
        answer = api.post("/v1/messages", json=fields)
        assert answer.status_code in (202, 422), answer.text
        return answer.status_code == 202
    answer = api.post("/v1/messages:batch", json={"messages": [fields]})
    return bool(answer.json()["results"][0]["status"] == 202)


def _to_store(relay: Relay, sender: str, to: str, octets: bytes) -> bool:
    try:
        relay.submit(octets, envelope_sender=sender, bcc=to)
    except RelayError:
        return False
    return True


def _as_task(producer: Any, sender: str, to: str, octets: bytes) -> None:
    packed = base64.b64encode(octets).decode()
    fields = {"sender": sender, "recipients": [to], "content_base64": packed}
    producer.send("relay.submit", kwargs=fields)


def _by_sendmail(system: System, sender: str, to: str, octets: bytes) -> bool:
    done = subprocess.run(
        [*command("sendmail"), "-i", "-f", sender, "--", to],
        input=octets,
        env=system.environment,
        capture_output=True,
        cwd=system.directory,
        timeout=30,
        check=False,
    )
    assert done.returncode in (0, 64, 65, 67, 69), done.stderr
    return done.returncode == 0


def settle(site: Site, system: System, submit: Submit) -> None:
    """Everything that was submitted before this has gone where it goes."""
    id_ = fresh()
    assert submit(SENDER, "marker@marker.test", content(id_)) is not False
    system.until(lambda: site.ids()[id_], "the marker arrives")
    system.until_empty()


def reached(site: Site, id_: str) -> list[tuple[str, ...]]:
    """The recipients of each message with that id, but for those of a report to its sender."""
    return [one.recipients for one in site.taken if one.id == id_ and one.sender]


#: As a service would write them; a source route is dropped (RFC 5321 appendix C), an address
#: literal goes nowhere (delivery.address_literals), as is what no reader takes for an address.
ADDRESSES = [
    (path[1:-1], goes_to) for path, goes_to in PATHS if path[:1] == "<" and path[-1:] == ">"
]


@pytest.mark.parametrize("submit", WAYS, indirect=True)
def test_a_message_goes_to_what_is_written_in_whatever_notation(
    site: Site, system: System, submit: Submit
) -> None:
    wanted: dict[str, tuple[str, str | None]] = {}
    for address, goes_to in ADDRESSES:
        if address.startswith(" "):
            continue
        id_ = fresh()
        taken = submit(SENDER, address, content(id_))
        assert taken is not False or goes_to is None, address
        wanted[id_] = (address, goes_to)
    settle(site, system, submit)
    for id_, (address, goes_to) in wanted.items():
        assert reached(site, id_) == ([(goes_to,)] if goes_to else []), address


@pytest.mark.parametrize("submit", WAYS, indirect=True)
def test_what_only_looks_like_an_address_goes_where_it_is_written(
    site: Site, system: System, submit: Submit
) -> None:
    wanted: dict[str, tuple[str, str | None, bool | None]] = {}
    for address, goes_to in TRICKS:
        id_ = fresh()
        taken = submit(SENDER, address, content(id_))
        assert not (taken and goes_to is None), address
        wanted[id_] = (address, goes_to, taken)
    settle(site, system, submit)
    for id_, (address, goes_to, taken) in wanted.items():
        found = reached(site, id_)
        # Some are refused here, as they have what cannot be seen; none goes elsewhere.
        assert found in ([], [(goes_to,)]), address
        assert bool(found) or not taken, address


@pytest.mark.parametrize("submit", WAYS, indirect=True)
def test_no_second_message_comes_out_of_one(site: Site, system: System, submit: Submit) -> None:
    ids = {}
    for name, octets in VARIANTS.items():
        id_ = fresh()
        taken = submit(SENDER, "bob@inside.test", content(id_, b"body" + octets + SMUGGLED))
        assert taken is None or taken is (b"\0" not in octets), name
        ids[id_] = name
    settle(site, system, submit)
    for id_, name in ids.items():
        found = [one for one in site.taken if one.id == id_]
        assert len(found) == (b"\0" not in VARIANTS[name]), name
        for one in found:
            assert b"\r\nMAIL FROM:<evil@evil.example>\r\n" in one.content, name
            assert (
                one.content.count(b"\r") == one.content.count(b"\n") == one.content.count(b"\r\n")
            ), name
    assert not site.for_recipient("victim@d.example")


@pytest.mark.parametrize("submit", WAYS, indirect=True)
def test_no_control_character_stands_in_an_address(
    site: Site, system: System, submit: Submit, request: pytest.FixtureRequest
) -> None:
    # No program can be given a NUL; and it takes a process each.
    by_program = request.node.callspec.params["submit"] == "sendmail"
    controls = [b"\r", b"\n", b"\x1b"] if by_program else CONTROLS
    ids = []
    for control in (one.decode() for one in controls):
        for sender, to in (
            (f"a{control}@origin.test", "b@inject.test"),
            (SENDER, f"b@inject.test{control}RCPT TO:<injected@open.test>"),
            (SENDER, f'"b{control}"@inject.test'),
        ):
            ids.append(fresh())
            assert not submit(sender, to, content(ids[-1])), (control, sender, to)
    settle(site, system, submit)
    assert not [id_ for id_ in ids if reached(site, id_)]
    assert not site.for_recipient("injected@open.test")


@pytest.mark.parametrize("submit", WAYS, indirect=True)
def test_a_header_section_that_is_too_large_is_refused_and_bcc_stays_behind(
    site: Site, system: System, submit: Submit, request: pytest.FixtureRequest
) -> None:
    large = [
        b"X: " + b"x" * (300 << 10),
        b"\r\n".join([b"X: y"] * 60_000),
        b"X: y" + b"\r\n y" * 80_000,
        b"Bcc : x@y.test\r\n\0",
    ]
    if request.node.callspec.params["submit"] != "sendmail":
        # Which hands on what it is given, as relaying does.
        large += [b"no field at all", b"From: eve@evil.test"]
    ids = []
    for field in large:
        ids.append(fresh())
        assert not submit(SENDER, "b@large.test", content(ids[-1], b"hi\r\n", field))
    blind = fresh()
    octets = content(
        blind, b"hi\r\n", b"bcc: secret@open.test", b"BCC:", b" more@open.test", b"X: y"
    )
    assert submit(SENDER, "b@blind.test", octets) is not False
    settle(site, system, submit)
    assert not [id_ for id_ in ids if reached(site, id_)]
    [taken] = [one for one in site.taken if one.id == blind]
    assert taken.recipients == ("b@blind.test",)
    assert b"open.test" not in taken.content
    assert b"\r\nX: y\r\n" in taken.content


FIELDS: list[tuple[str, Callable[[str], dict[str, Any]]]] = [
    ("from", lambda c: {"from": f"Ann{c}x <ann@origin.test>"}),
    ("from", lambda c: {"from": f"ann{c}@origin.test"}),
    ("to", lambda c: {"to": [f"Bob{c}Bcc: e@open.test <b@inject.test>"]}),
    ("cc", lambda c: {"cc": f'"Bob{c}" <b@inject.test>'}),
    ("bcc", lambda c: {"bcc": f"b@inject.test{c}injected@open.test"}),
    ("reply_to", lambda c: {"reply_to": f"x{c}@y.test"}),
    ("subject", lambda c: {"subject": f"a{c}Bcc: injected@open.test"}),
    ("header name", lambda c: {"headers": {f"X{c}Y": "z"}}),
    ("header value", lambda c: {"headers": {"X-A": f"z{c}Bcc: injected@open.test"}}),
    ("envelope_sender", lambda c: {"envelope_sender": f"ann{c}@origin.test"}),
    ("envid", lambda c: {"envid": f"x{c}y"}),
    ("tags", lambda c: {"tags": [f"x{c}y"]}),
    ("metadata name", lambda c: {"metadata": {f"x{c}y": "z"}}),
    ("metadata value", lambda c: {"metadata": {"x": f"y{c}z"}}),
    ("tenant", lambda c: {"tenant": f"x{c}y"}),
    ("idempotency_key", lambda c: {"idempotency_key": f"x{c}y"}),
    ("filename", lambda c: {"attachments": [{"content": "eA==", "filename": f"a{c}b"}]}),
    ("type", lambda c: {"attachments": [
        {"content": "eA==", "filename": "a", "content_type": f"text/plain{c}X: y"}]}),
    ("content_id", lambda c: {"attachments": [
        {"content": "eA==", "filename": "a", "content_id": f"a{c}b"}]}),
    ("value of a template", lambda c: {"subject": "{{ x }}", "substitutions":
        {"x": f"a{c}Bcc: injected@open.test"}}),
]  # fmt: skip


def test_no_control_character_stands_in_any_field(
    site: Site, system: System, api: httpx.Client
) -> None:
    good = {"from": SENDER, "to": "b@inject.test", "subject": "x", "text": "hi"}
    for name, made in FIELDS:
        messages = [good | made(control.decode()) for control in CONTROLS]
        answer = api.post("/v1/messages:batch", json={"messages": messages})
        results = answer.json()["results"]
        # A tenant that is not the caller's own is none of his, whatever it is called.
        status = 403 if name == "tenant" else 422
        assert [one["status"] for one in results] == [status] * len(CONTROLS), name
        with Relay(system.store.url) as relay:
            taken = (
                relay.submit_many([_message(one) for one in messages], return_errors=True)
                if name not in ("type", "content_id", "filename")
                else []
            )
        assert all(isinstance(one, Exception) for one in taken), name
    head = {"to": "b@inject.test", "from": SENDER, "text": "hi", "headers": {"X-Test-Id": "ok"}}
    assert api.post("/v1/messages", json=head).status_code == 202
    system.until(lambda: site.ids()["ok"])
    system.until_empty()
    assert not site.for_recipient("injected@open.test")
    assert {one.id for one in site.for_recipient("b@inject.test")} == {"ok"}


def _message(fields: dict[str, Any]) -> Message:
    return Message(
        **{("from_" if name == "from" else name): value for name, value in fields.items()}
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"headers": {"X": "y " * 60_000}}, "headers.X"),
        ({"headers": {f"X-{n}": "y" for n in range(51)}}, "headers"),
        ({"attachments": [{"content": "eA==", "filename": "a"}] * 101}, "attachments"),
        ({"headers": {"From": "eve@evil.test"}}, "headers.From"),
        ({"headers": {"Bcc": "x@y.test"}}, "headers.Bcc"),
        ({"headers": {"Content-Type": "text/html"}}, "headers.Content-Type"),
        ({"headers": {"Received": "from x"}}, "headers.Received"),
        ({"to": [f"u{n}@many.test" for n in range(1001)]}, "to"),
        ({"substitutions": {"x": "y" * 1000}, "text": "{% for a in [x]*9999 %}{{ x }}{% endfor %}"},
         "text"),
        ({"substitutions": {"x": "y"}, "text": "{{ ''.__class__.__mro__ }}"}, "text"),
        ({"substitutions": {"x": "y"}, "text": "{{ x * 1000000000 }}"}, "text"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_too_much_or_not_one_s_own_is_refused(
    api: httpx.Client, fields: dict[str, Any], field: str
) -> None:
    good = {"from": SENDER, "to": "b@much.test", "subject": "x", "text": "hi"}
    answer = api.post("/v1/messages", json=good | fields)
    assert answer.status_code == 422, answer.text
    assert field in [one["field"] for one in answer.json()["errors"]], answer.text


@pytest.mark.parametrize("depth", [1000, 200_000])
@pytest.mark.parametrize("kind", ["list", "object"])
def test_json_that_is_nested_without_end_is_a_problem_of_its_sender(
    api: httpx.Client, kind: str, depth: int
) -> None:
    opened, closed = ("[", "]") if kind == "list" else ('{"a":', "}")
    inner = opened * depth + ("1" if kind == "object" else "") + closed * depth
    for path, body in (
        ("/v1/messages", '{"headers": %s}'),
        ("/v1/messages", '{"x": %s}'),
        ("/v1/messages:batch", '{"messages": [%s]}'),
        ("/v1/messages:batch", '{"messages": [{}], "defaults": {"tags": %s}}'),
    ):
        answer = api.post(path, content=body % inner, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), (path, answer.text)
        if answer.status_code == 200:
            assert {one["status"] for one in answer.json()["results"]} <= {400, 422}


def test_an_attachment_bomb_is_octets_like_any_other(
    site: Site, system: System, api: httpx.Client
) -> None:
    id_ = fresh()
    parts = "".join(
        f"--b{level}\r\nContent-Type: multipart/mixed; boundary=b{level + 1}\r\n\r\n"
        for level in range(20_000)
    )
    octets = content(
        id_, parts.encode(), b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=b0"
    )
    raw = base64.b64encode(octets).decode()
    answer = api.post("/v1/messages", content=json.dumps({"raw": raw, "to": "b@bomb.test"}),
                      headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code == 202
    assert answer.elapsed.total_seconds() < 5
    system.until(lambda: site.ids()[id_])
    [taken] = [one for one in site.taken if one.id == id_]
    assert taken.content.endswith(octets)
