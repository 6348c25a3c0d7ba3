"""Each request of the API, asked by a tenant about another: nothing is told, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from relay.ingress.http.document import document
from tests.ingress.http.conftest import HELLO, Serve
from tests.support.queue import QueueStore

Token = Callable[..., Any]
SECRET = "confidential"
THEIRS = HELLO | {"subject": SECRET, "tags": [SECRET], "to": f"{SECRET}@a.example"}
NEW = {"kind": "token", "name": "x", "senders": ["two.example"]}
#: What is asked, and what may come of it: the statuses, of which 200 must tell nothing of theirs.
ASKED: dict[tuple[str, str], list[tuple[dict[str, Any], set[int]]]] = {
    ("get", "/v1/messages"): [
        ({}, {200}),
        ({"params": {"tenant": "one"}}, {403}),
        ({"params": {"tenant": ""}}, {200}),
        ({"params": {"domain": "a.example", "state": "ready"}}, {200}),
        ({"params": {"recipient": f"{SECRET}@a.example"}}, {200}),
        ({"params": {"tag": SECRET}}, {200}),
        ({"params": {"tag": SECRET, "state": "final"}}, {200}),
        ({"params": {"cursor": "0/0+0"}}, {200}),
    ],
    ("post", "/v1/messages"): [({"json": THEIRS | {"tenant": "one"}}, {403})],
    ("post", "/v1/messages:batch"): [
        ({"json": {"messages": [THEIRS | {"tenant": "one"}]}}, {200}),
        ({"json": {"messages": [THEIRS], "defaults": {"tenant": "one"}}}, {200}),
    ],
    ("get", "/v1/messages/{id}"): [({}, {404})],
    ("post", "/v1/messages/{id}:cancel"): [({}, {404})],
    ("post", "/v1/messages/{id}:reschedule"): [
        ({"json": {"send_at": "2026-01-01T00:00:00Z"}}, {404})
    ],
    ("post", "/v1/messages/{id}:send-now"): [({}, {404})],
    ("post", "/v1/complaints"): [({"json": {"message": "{id}"}}, {404})],
    # Looked at below: it does not end.
    ("get", "/v1/events"): [],
    ("get", "/v1/credentials"): [({}, {200}), ({"params": {"tenant": "one"}}, {403})],
    ("post", "/v1/credentials"): [
        ({"json": NEW | {"tenant": "one"}}, {403}),
        ({"json": NEW | {"name": "theirs"}}, {409}),
        ({"json": NEW | {"senders": ["*"]}}, {403}),
    ],
    ("get", "/v1/credentials/{kind}/{name}"): [({}, {404})],
    ("patch", "/v1/credentials/{kind}/{name}"): [({"json": {"disabled": True}}, {404})],
    ("delete", "/v1/credentials/{kind}/{name}"): [({}, {404})],
    ("post", "/v1/credentials/{kind}/{name}:rotate"): [({"json": {}}, {404})],
    ("get", "/v1/suppressions"): [({}, {501})],
}


async def test_no_request_reads_cancels_or_sends_as_anothers(
    serve: Serve, token: Token, queue: QueueStore
) -> None:
    async with serve(networks=(), index=("recipients", "tags")) as url:
        one = await token("theirs", tenant="one", scopes=("send", "read", "admin"))
        two = await token(
            "two", tenant="two", scopes=("send", "read", "admin"), senders=("two.example",)
        )
        async with httpx.AsyncClient(base_url=url) as api:
            submitted = await api.post("/v1/messages", json=THEIRS, headers=one)
            id_ = submitted.json()["id"]
            before = (await api.get(f"/v1/messages/{id_}", headers=one)).json()
            mine = (await api.get("/v1/credentials/token/theirs", headers=one)).json()
            for (method, path), requests in ASKED.items():
                place = path.replace("{id}", id_).replace("{kind}/{name}", "token/theirs")
                for template, statuses in requests:
                    asked = json.loads(json.dumps(template).replace("{id}", id_))
                    answer = await api.request(method.upper(), place, headers=two, **asked)
                    assert answer.status_code in statuses, (method, path, asked, answer.text)
                    if answer.status_code == 200 and "batch" not in path:
                        assert SECRET not in answer.text, (method, path, asked)
                        assert "theirs" not in answer.text, (method, path, asked)
                    if "batch" in path:
                        [result] = answer.json()["results"]
                        assert result["status"] == 403, asked
            after = (await api.get(f"/v1/messages/{id_}", headers=one)).json()
            assert after == before
            assert (await api.get("/v1/credentials/token/theirs", headers=one)).json() == mine
        assert len(await queue.client.read("KEYS", queue.keys.record("*"))) == 1


async def test_the_events_of_others_are_not_told(serve: Serve, token: Token) -> None:
    async with serve(networks=()) as url:
        one, two = await token("one", tenant="one"), await token("two", tenant="two")
        async with httpx.AsyncClient(base_url=url) as api:
            await api.post("/v1/messages", json=THEIRS, headers=one)
            own = await api.post("/v1/messages", json=HELLO, headers=two)
            asked = two | {"Last-Event-ID": "0-0"}
            async with api.stream("GET", "/v1/events", headers=asked) as stream:
                told = [line async for line in until(stream, own.json()["id"])]
        assert not [line for line in told if SECRET in line]
        assert len([line for line in told if line.startswith("data:")]) == 1


async def until(stream: httpx.Response, word: str) -> Any:
    """The lines of a stream up to one with a word."""
    async for line in stream.aiter_lines():
        yield line
        if word in line:
            return


def test_every_request_of_the_document_is_asked() -> None:
    there = {(method, path) for path, of in document()["paths"].items() for method in of}
    assert there - set(ASKED) == set()
    assert set(ASKED) - there == set()
