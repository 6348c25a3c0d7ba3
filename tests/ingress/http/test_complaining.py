"""Complaints over HTTP: of one's own messages, as reports or by their ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.ingress.http.conftest import HELLO, Serve
from tests.support.complaints import report
from tests.support.queue import QueueStore

Token = Callable[..., Any]
RAW = {"Content-Type": "message/rfc822"}


async def submitted(api: httpx.AsyncClient, **headers: str) -> str:
    answer = await api.post("/v1/messages", json=HELLO, headers=headers)
    return str(answer.json()["id"])


async def test_a_report_is_noted_and_shown(api: httpx.AsyncClient) -> None:
    message = await submitted(api)
    answer = await api.post("/v1/complaints", content=report(message), headers=RAW)
    assert (answer.status_code, answer.json()) == (
        202,
        {
            "message": message,
            "tenant": "",
            "recipient": "u@a.example",
            "kind": "abuse",
            "answer": "noted",
        },
    )
    again = await api.post("/v1/complaints", content=report(message), headers=RAW)
    assert (again.status_code, again.json()["answer"]) == (202, "repeated")
    [shown] = (await api.get(f"/v1/messages/{message}")).json()["complaints"]
    assert (shown["recipient"], shown["kind"]) == ("u@a.example", "abuse")


async def test_a_message_may_be_named_by_its_id(api: httpx.AsyncClient) -> None:
    message = await submitted(api)
    said = {"message": message, "recipient": "U@A.example", "kind": "fraud"}
    answer = await api.post("/v1/complaints", json=said)
    assert (answer.status_code, answer.json()["recipient"]) == (202, "U@a.example")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"json": {"message": "nonsense"}}, 404, id="no id"),
        pytest.param({"json": {"message": "x", "recipient": "a b"}}, 422, id="no address"),
        pytest.param({"json": {"message": "x", "kind": "not-spam"}}, 422, id="no complaint"),
        pytest.param({"json": {}}, 422, id="no message"),
        pytest.param({"content": b"Subject: x\r\n\r\nhi", "headers": RAW}, 422, id="no report"),
        pytest.param({"content": report(by="a.example (Relay)"), "headers": RAW}, 404, id="others"),
        pytest.param({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, id="text"),
    ],
)
async def test_what_is_no_complaint_is_told(
    api: httpx.AsyncClient, queue: QueueStore, body: dict[str, Any], status: int
) -> None:
    answer = await api.post("/v1/complaints", **body)
    assert answer.status_code == status, answer.text
    assert await queue.client.read("KEYS", "relay:*:j:*") == []


async def test_nobody_complains_about_anothers_message(serve: Serve, token: Token) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        mine = await token("mine", tenant="mine", scopes=("send",))
        other = await token("other", tenant="other", scopes=("send",))
        reader = await token("reader", tenant="mine", scopes=("read",))
        message = await submitted(client, **mine)
        said = {"message": message}
        for headers, status in ((other, 404), (reader, 403), ({}, 401), (mine, 202)):
            answer = await client.post("/v1/complaints", json=said, headers=headers)
            assert answer.status_code == status
        assert answer.json()["tenant"] == "mine"
