"""Submitting over HTTP, and what is said where that cannot be."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import zstandard

from tests.ingress.http.conftest import HELLO
from tests.support.queue import QueueStore


async def test_an_accepted_message_is_durable_and_can_be_found(
    api: httpx.AsyncClient, queue: QueueStore
) -> None:
    answer = await api.post("/v1/messages", json=HELLO | {"tags": ["a"], "metadata": {"k": "v"}})
    assert answer.status_code == 202
    found = await api.get(answer.headers["Location"])
    assert found.status_code == 200
    view = found.json()
    assert view["id"] == answer.json()["id"]
    assert [(to["address"], to["state"]) for to in view["recipients"]] == [
        ("u@a.example", "queued")
    ]
    assert (view["tags"], view["metadata"], view["sender"]) == (
        ["a"],
        {"k": "v"},
        "ann@example.com",
    )
    content = await queue.client.read("GET", queue.keys.content(view["id"]))
    assert content.startswith(b"Received: by ")
    assert b" with HTTP id " + view["id"].encode() in content
    assert b"127.0.0.1" not in content
    assert answer.headers["X-Request-Id"]


async def test_a_whole_message_is_taken_as_it_is(api: httpx.AsyncClient, queue: QueueStore) -> None:
    raw = b"From: ann@example.com\r\nTo: u@a.example\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n" \
          b"Message-ID: <a@b>\r\n\r\n.\r\nfrom here\r\n"  # fmt: skip
    answer = await api.post("/v1/messages", json={"raw": base64.b64encode(raw).decode()})
    content = await queue.client.read("GET", queue.keys.content(answer.json()["id"]))
    assert content.endswith(b"\r\n" + raw)


@pytest.mark.parametrize("quoted", [False, True])
async def test_a_key_makes_a_repeat_the_same_message(api: httpx.AsyncClient, quoted: bool) -> None:
    headers = {"Idempotency-Key": '"order-7"' if quoted else "order-7"}
    first = await api.post("/v1/messages", json=HELLO, headers=headers)
    again = await api.post("/v1/messages", json=HELLO, headers=headers)
    assert again.json() == {"id": first.json()["id"], "repeated": True}
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    other = await api.post("/v1/messages", json=HELLO | {"subject": "Other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-conflict")
    both = await api.post("/v1/messages", json=HELLO | {"idempotency_key": "x"}, headers=headers)
    assert both.json()["errors"][0]["field"] == "idempotency_key"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"from": "nobody"}, "from"),
        ({"to": ["u@a.example", "x y"]}, "to[1]"),
        ({"to": 7}, "to"),
        ({"subject": "a\r\nBcc: eve@evil.example"}, "subject"),
        ({"headers": {"X-A": "a\nb"}}, "headers.X-A"),
        ({"attachments": [{"content": "=", "filename": "a"}]}, "attachments[0].content"),
        ({"attachments": [{"content": "", "filename": "a\nb"}]}, "attachments[0].filename"),
        ({"priority": "urgent"}, "priority"),
        ({"send_at": "2030-01-01T00:00:00"}, "send_at"),
        ({"send_at": "2300-01-01T00:00:00Z"}, "send_at"),
        ({"weight": 101}, "weight"),
        ({"tenant": "other"}, None),
        ({"substitutions": {}, "text": "{{ name }}"}, "text"),
        ({"raw": "Rm9v"}, "raw"),
        ({"subjct": "x"}, ""),
    ],
)
async def test_a_problem_names_its_field(
    api: httpx.AsyncClient, change: dict[str, Any], field: str | None
) -> None:
    answer = await api.post("/v1/messages", json=HELLO | change)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    if field is None:
        assert (answer.status_code, problem["code"]) == (403, "access-denied")
    else:
        assert answer.status_code == 422
        assert field in [error["field"] for error in problem["errors"]]
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:relay:problem:{problem['code']}"
    assert problem["instance"].endswith(answer.headers["X-Request-Id"])


async def test_a_batch_has_a_result_for_each_in_order(api: httpx.AsyncClient) -> None:
    messages: list[Any] = [HELLO | {"to": f"u{n}@a.example"} for n in range(60)]
    messages[7], messages[8] = {"to": "x"}, "nonsense"
    headers = {"Idempotency-Key": "batch"}
    body = {"messages": messages}
    results = (await api.post("/v1/messages:batch", json=body, headers=headers)).json()["results"]
    assert [result["status"] for result in results] == [
        422 if n in (7, 8) else 202 for n in range(60)
    ]
    assert "from" in [error["field"] for error in results[7]["problem"]["errors"]]
    for n in (0, 59):
        view = (await api.get(f"/v1/messages/{results[n]['id']}")).json()
        assert view["recipients"][0]["address"] == f"u{n}@a.example"
    again = (await api.post("/v1/messages:batch", json=body, headers=headers)).json()["results"]
    assert [one.get("id") for one in again] == [one.get("id") for one in results]
    assert again[0]["repeated"]


async def test_each_recipient_of_a_batch_gets_values_of_his_own(
    api: httpx.AsyncClient, queue: QueueStore
) -> None:
    body = {
        "defaults": {
            "from": "ann@example.com",
            "subject": "Hi {{ name }}",
            "html": "<p>{{ name }}",
        },
        "messages": [
            {"to": "a@a.example", "substitutions": {"name": "Ann <3"}},
            {"to": "b@a.example", "substitutions": {"name": "Bob"}},
            {"to": "c@a.example", "substitutions": {}},
        ],
    }
    results = (await api.post("/v1/messages:batch", json=body)).json()["results"]
    first, second = [
        await queue.client.read("GET", queue.keys.content(one["id"])) for one in results[:2]
    ]
    assert b"Subject: Hi Ann <3\r\n" in first
    assert b"<p>Ann &lt;3" in first
    assert b"<p>Bob" in second
    assert {error["field"] for error in results[2]["problem"]["errors"]} == {"subject", "html"}


async def test_a_message_may_be_scheduled_moved_and_cancelled(api: httpx.AsyncClient) -> None:
    at = datetime.now(UTC) + timedelta(days=2)
    accepted = await api.post("/v1/messages", json=HELLO | {"send_at": at.isoformat()})
    path = f"/v1/messages/{accepted.json()['id']}"
    moved = await api.post(f"{path}:reschedule", json={"send_at": "2026-01-01T00:00:00+01:00"})
    assert [one["answer"] for one in moved.json()["deliveries"]] == ["ready"]
    later = await api.post(f"{path}:reschedule", json={"send_at": at.isoformat()})
    assert [one["answer"] for one in later.json()["deliveries"]] == ["later"]
    assert (await api.post(f"{path}:send-now")).json()["deliveries"][0]["answer"] == "ready"
    assert (await api.post(f"{path}:cancel")).json()["deliveries"][0]["answer"] == "cancelled"
    assert (await api.get(path)).json()["recipients"][0]["state"] == "cancelled"
    bad = await api.post(f"{path}:reschedule", json={"send_at": "soon"})
    assert bad.json()["errors"][0]["field"] == "send_at"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_a_body_may_be_packed(api: httpx.AsyncClient, coding: str) -> None:
    octets = json.dumps(HELLO).encode()
    packed = gzip.compress(octets) if coding == "gzip" else zstandard.compress(octets)
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await api.post("/v1/messages", content=packed, headers=headers)
    assert answer.status_code == 202
    broken = await api.post("/v1/messages", content=packed[:-9], headers=headers)
    assert broken.status_code == 400


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Type": "application/json", "Content-Encoding": "br"}, 415),
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"\xff", {"Content-Type": "application/json"}, 400),
        (b"[]", {"Content-Type": "application/json"}, 422),
    ],
)
async def test_what_is_not_json_is_not_guessed_at(
    api: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await api.post("/v1/messages", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["status"] == status


async def test_paths_and_methods_that_are_not_there_are_problems(api: httpx.AsyncClient) -> None:
    lost = await api.get("/v2/messages")
    wrong = await api.put("/v1/messages", json=HELLO)
    assert (lost.status_code, lost.json()["code"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert "POST" in wrong.headers["Allow"]
    for id_ in ("nonsense", "0" * 20, "%00", "a%2Fb"):
        assert (await api.get(f"/v1/messages/{id_}")).status_code == 404
