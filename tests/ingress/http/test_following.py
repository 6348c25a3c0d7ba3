"""Lists and events over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.ingress.http.conftest import HELLO, Serve
from tests.support.queue import QueueStore


async def test_lists_come_in_pages(api: httpx.AsyncClient) -> None:
    messages = [HELLO | {"to": f"u{n}@{n % 2}.example"} for n in range(11)]
    await api.post("/v1/messages:batch", json={"messages": messages})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get("/v1/messages", params={"limit": 4, "cursor": cursor})).json()
        seen += [to for one in page["deliveries"] for to in one["recipients"]]
        cursor = page["cursor"]
    assert sorted(seen) == sorted(message["to"] for message in messages)
    params = {"state": "ready", "domain": "1.EXAMPLE", "since": "2020-01-01T00:00:00Z"}
    listed = (await api.get("/v1/messages", params=params)).json()["deliveries"]
    assert {one["domain"] for one in listed} == {"1.example"}
    assert len(listed) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "gone"),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "1e3"),
        ("cursor", "x"),
        ("since", "yesterday"),
        ("until", "2026-01-01T00:00:00"),
        ("domain", "a b"),
    ],
)
async def test_a_parameter_that_is_not_right_is_named(
    api: httpx.AsyncClient, name: str, value: str
) -> None:
    answer = await api.get("/v1/messages", params={name: value})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [name]


@pytest.mark.parametrize("name", ["recipient", "tag"])
async def test_without_the_index_it_is_told_which_setting_turns_it_on(
    api: httpx.AsyncClient, name: str
) -> None:
    answer = await api.get("/v1/messages", params={name: "u@a.example"})
    assert answer.status_code == 422
    problem = answer.json()
    assert [error["field"] for error in problem["errors"]] == [name]
    assert f"store.index = {name}s" in problem["detail"]
    final = await api.get("/v1/messages", params={"state": "final"})
    assert [error["field"] for error in final.json()["errors"]] == ["state"]


async def test_messages_are_found_by_recipient_and_tag(
    serve: Serve, queue: QueueStore, token: Callable[..., Any]
) -> None:
    async with serve(index=("recipients", "tags")) as url:
        ann, other = await token("ann", tenant="a"), await token("other", tenant="b")
        async with httpx.AsyncClient(base_url=url) as api:
            for number in range(5):
                message = HELLO | {"to": ["U@a.example", f"{number}@b.example"], "tags": ["spring"]}
                answer = await api.post("/v1/messages", json=message, headers=ann)
                assert answer.status_code == 202
            for lease in await queue.lease():
                await queue.settle(lease)

            async def found(headers: dict[str, str], **params: str) -> list[dict[str, Any]]:
                items: list[dict[str, Any]] = []
                cursor: str | None = ""
                while cursor is not None:
                    asked = params | {"limit": "2", "cursor": cursor}
                    answer = await api.get("/v1/messages", params=asked, headers=headers)
                    assert answer.status_code == 200, answer.text
                    assert len(answer.json()["deliveries"]) <= 2
                    items += answer.json()["deliveries"]
                    cursor = answer.json()["cursor"]
                return items

            states = [one["state"] for one in await found(ann, recipient="u@A.example")]
            assert states == ["final"] * 5
            tagged = [one["state"] for one in await found(ann, tag="SPRING")]
            assert sorted(tagged) == ["final"] * 5 + ["ready"] * 5
            [one] = await found(ann, recipient="3@b.example", state="ready")
            assert (one["domain"], one["recipients"]) == ("b.example", ["3@b.example"])
            assert await found(ann, recipient="3@b.example", state="final") == []
            assert await found(other, recipient="u@a.example") == []
            assert await found(other, tag="spring") == []
            for name, value in (("recipient", "u"), ("recipient", ""), ("tag", "")):
                answer = await api.get("/v1/messages", params={name: value}, headers=ann)
                assert [error["field"] for error in answer.json()["errors"]] == [name]
            both = {"recipient": "u@a.example", "tag": "x"}
            answer = await api.get("/v1/messages", params=both, headers=ann)
            assert answer.status_code == 422


async def stream(url: str, after: str = "", **headers: str) -> AsyncIterator[dict[str, Any]]:
    """The events, as a browser would read them."""
    async with (
        httpx.AsyncClient(base_url=url, headers=headers) as client,
        client.stream("GET", "/v1/events", headers={"Last-Event-ID": after}) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                name = line.removeprefix("id: ")
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                assert event["id"] == name
                yield event


async def test_events_are_streamed_and_go_on_from_any_of_them(
    url: str, api: httpx.AsyncClient, queue: QueueStore
) -> None:
    accepted = await api.post("/v1/messages", json=HELLO | {"metadata": {"order": "7"}})
    async with asyncio.timeout(20):
        events = stream(url, "0-0")
        first = await anext(events)
        await queue.settle(*await queue.lease())
        second = await anext(events)
        await events.aclose()  # type: ignore[attr-defined]
        assert (first["type"], second["type"]) == ("accepted", "delivered")
        assert second["message"] == accepted.json()["id"]
        assert second["recipients"][0]["code"] == 250
        assert second["metadata"] == {"order": "7"}
        again = stream(url, first["id"])
        assert await anext(again) == second
        await again.aclose()  # type: ignore[attr-defined]


async def test_a_stream_has_the_events_of_its_tenant_alone(
    serve: Serve, token: Callable[..., Any]
) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        one, two = await token("one", tenant="one"), await token("two", tenant="two")
        await client.post("/v1/messages", json=HELLO, headers=one)
        await client.post("/v1/messages", json=HELLO, headers=two)
        async with asyncio.timeout(20):
            events = stream(url, "0-0", **two)
            assert (await anext(events))["tenant"] == "two"
            await events.aclose()  # type: ignore[attr-defined]


async def test_an_id_of_no_event_is_a_problem(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/events", headers={"Last-Event-ID": "x"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_no_more_streams_than_are_allowed(serve: Serve) -> None:
    async with (
        serve(limits={"streams": 1}) as url,
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/v1/events") as first,
    ):
        assert first.status_code == 200
        await anext(first.aiter_lines())
        assert (await client.get("/v1/events")).status_code == 429
