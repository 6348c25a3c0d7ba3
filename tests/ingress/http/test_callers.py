"""Who may ask: nobody is let in by default, and nobody sees another tenant's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.ingress.http.conftest import HELLO, Serve

Token = Callable[..., Any]


async def asked(url: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=url, headers=named) as client:
        return await client.post("/v1/messages", json=HELLO)


async def test_without_a_token_nobody_is_let_in(serve: Serve) -> None:
    async with serve(networks=()) as url:
        answer = await asked(url)
        assert (answer.status_code, answer.json()["code"]) == (401, "no-token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        async with httpx.AsyncClient(base_url=url) as client:
            for path in ("/v1/messages", "/v1/messages/x", "/v1/events"):
                assert (await client.get(path)).status_code == 401
            for path in (":batch", "/x:cancel", "/x:reschedule", "/x:send-now"):
                assert (await client.post(f"/v1/messages{path}", json={})).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X_Real_IP": "10.0.0.1"},
        {"Host": "relay.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic YTpi"},
    ],
)
async def test_a_network_does_not_let_in_who_comes_through_something_else(
    url: str, headers: dict[str, str]
) -> None:
    assert (await asked(url, **headers)).status_code == 401


async def test_a_proxy_of_ours_is_believed(serve: Serve) -> None:
    async with serve(networks=("192.0.2.0/24",), proxies=("127.0.0.0/8",)) as url:
        assert (await asked(url, X_Forwarded_For="192.0.2.7")).status_code == 202
        assert (await asked(url, X_Forwarded_For="6.6.6.6, 192.0.2.7")).status_code == 202
        assert (await asked(url, X_Forwarded_For="192.0.2.7, 6.6.6.6")).status_code == 401
        assert (await asked(url, X_Forwarded_For="nonsense")).status_code == 401
        assert (await asked(url)).status_code == 401


async def test_a_token_does_what_its_scopes_say(serve: Serve, token: Token) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        send, read = await token("send", scopes=("send",)), await token("read", scopes=("read",))
        accepted = await client.post("/v1/messages", json=HELLO, headers=send)
        assert accepted.status_code == 202
        path = accepted.headers["Location"]
        assert (await client.get(path, headers=send)).status_code == 403
        assert (await client.get(path, headers=read)).status_code == 200
        assert (await client.post("/v1/messages", json=HELLO, headers=read)).status_code == 403
        assert (await client.post(f"{path}:cancel", headers=read)).status_code == 403
        assert (await client.post(f"{path}:cancel", headers=send)).status_code == 200


async def test_a_token_sends_only_as_it_may(serve: Serve, token: Token) -> None:
    async with serve(networks=()) as url:
        mine = await token("mine", senders=("example.com",))
        async with httpx.AsyncClient(base_url=url, headers=mine) as client:
            for change, status in (
                ({}, 202),
                ({"from": "ann@other.example"}, 403),
                ({"from": "ann@other.example", "envelope_sender": "ann@example.com"}, 403),
                ({"envelope_sender": "ann@other.example"}, 403),
                ({"envelope_sender": ""}, 202),
                ({"from": "Ann <ann@EXAMPLE.com>"}, 202),
                ({"from": '"ann@example.com" <eve@evil.example>'}, 403),
            ):
                answer = await client.post("/v1/messages", json=HELLO | change)
                assert answer.status_code == status, (change, answer.text)


async def test_a_tenant_sees_and_touches_its_own_messages_alone(serve: Serve, token: Token) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        one, two = await token("one", tenant="one"), await token("two", tenant="two")
        admin = await token("admin", scopes=("send", "read", "admin"))
        accepted = await client.post("/v1/messages", json=HELLO, headers=one)
        path = accepted.headers["Location"]
        for method, end in (("GET", ""), ("POST", ":cancel"), ("POST", ":send-now")):
            assert (await client.request(method, path + end, headers=two)).status_code == 404
        moved = {"send_at": "2026-01-01T00:00:00Z"}
        assert (await client.post(f"{path}:reschedule", json=moved, headers=two)).status_code == 404
        as_one = HELLO | {"tenant": "one"}
        assert (await client.post("/v1/messages", json=as_one, headers=two)).status_code == 403
        assert (await client.post("/v1/messages", json=as_one, headers=one)).status_code == 202
        assert (await client.post("/v1/messages", json=as_one, headers=admin)).status_code == 202
        lists = {}
        for name, headers in (("one", one), ("two", two), ("admin", admin)):
            listed = await client.get("/v1/messages", headers=headers)
            lists[name] = [each["tenant"] for each in listed.json()["deliveries"]]
        assert lists == {"one": ["one"] * 3, "two": [], "admin": ["one"] * 3}
        stolen = await client.get("/v1/messages", params={"tenant": "one"}, headers=two)
        assert stolen.status_code == 403
        key = {"Idempotency-Key": "k"}
        first = await client.post("/v1/messages", json=HELLO, headers=one | key)
        other = await client.post("/v1/messages", json=HELLO, headers=two | key)
        assert not other.json()["repeated"]
        assert first.json()["id"] != other.json()["id"]


async def test_a_quota_that_is_used_up_is_told_with_the_time_to_wait(
    serve: Serve, token: Token
) -> None:
    from relay.policy.credential import Quotas

    async with serve(networks=()) as url:
        few = await token("few", quotas=Quotas(messages_minute=3))
        async with httpx.AsyncClient(base_url=url, headers=few) as client:
            body = {"messages": [HELLO] * 5}
            results = (await client.post("/v1/messages:batch", json=body)).json()["results"]
            assert sorted(result["status"] for result in results) == [202, 202, 202, 429, 429]
            answer = await client.post("/v1/messages", json=HELLO)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 60
