"""Logins and tokens over HTTP: made, shown once, changed, rotated, removed; and by whom not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from relay.identity.registry import Registry
from relay.policy.credential import Quotas, covers
from relay.store.client import StoreClient
from relay.store.identity import IdentityStore
from tests.ingress.http.conftest import HELLO, Serve

Token = Callable[..., Any]
NEW: dict[str, Any] = {"kind": "token", "name": "shop", "senders": ["example.com"]}


@pytest.fixture
async def registry(client: StoreClient) -> Registry:
    return Registry(IdentityStore(client))


@pytest.fixture
async def root(serve: Serve, token: Token) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of no tenant; a change holds everywhere at once."""
    headers = await token("root", scopes=("admin",))
    async with serve() as url, httpx.AsyncClient(base_url=url, headers=headers) as api:
        yield api


async def test_a_token_is_made_and_its_secret_is_shown_once(
    root: httpx.AsyncClient, registry: Registry
) -> None:
    terms = {"tenant": "t", "scopes": ["send", "read"], "messages_minute": 5, "note": "the shop"}
    answer = await root.post("/v1/credentials", json=NEW | terms)
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/v1/credentials/token/shop"
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    assert made["messages_minute"] == 5
    shown = (await root.get(answer.headers["Location"])).json()
    assert shown == made | {"secret": None}
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    accepted = await root.post("/v1/messages", json=HELLO, headers=bearer)
    assert accepted.status_code == 202
    status = await root.get(f"/v1/messages/{accepted.json()['id']}", headers=bearer)
    assert status.json()["tenant"] == "t"
    assert made["secret"] not in repr(await registry.changes())
    [change, *_] = await registry.changes()
    assert (change.fields["action"], change.fields["name"]) == ("added", "shop")
    assert change.fields["by"] == "token:root from 127.0.0.1"


async def test_a_login_gets_a_password_or_is_given_one(root: httpx.AsyncClient) -> None:
    user = NEW | {"kind": "user"}
    made = (await root.post("/v1/credentials", json=user)).json()
    assert len(made["secret"]) >= 12
    given = await root.post(
        "/v1/credentials", json=user | {"name": "other", "password": "correct horse battery"}
    )
    assert given.json()["secret"] == "correct horse battery"
    twice = await root.post("/v1/credentials", json=user)
    assert (twice.status_code, twice.json()["code"]) == (409, "exists")


async def test_terms_are_changed_and_what_is_left_out_stays(
    root: httpx.AsyncClient, registry: Registry
) -> None:
    await root.post("/v1/credentials", json=NEW | {"messages_day": 7, "tenant": "t"})
    place = "/v1/credentials/token/shop"
    changed = await root.patch(
        place, json={"recipients_day": 9, "networks": ["192.0.2.0/24"], "disabled": True}
    )
    assert changed.status_code == 200
    found = changed.json()
    assert (found["messages_day"], found["recipients_day"]) == (7, 9)
    assert (found["tenant"], found["senders"]) == ("t", ["example.com"])
    assert (found["networks"], found["disabled"]) == (["192.0.2.0/24"], True)
    never = await root.patch(place, json={"expires_at": "2040-01-01T00:00:00Z"})
    assert never.json()["expires_at"] == "2040-01-01T00:00:00Z"
    never = await root.patch(place, json={"expires_at": None})
    assert never.json()["expires_at"] is None
    assert (await root.delete(place)).status_code == 204
    assert (await root.get(place)).status_code == 404
    actions = [one.fields["action"] for one in await registry.changes()]
    assert actions[:5] == ["removed", "changed", "changed", "changed", "added"]


async def test_after_a_rotation_the_old_secret_stands_as_long_as_it_is_said(
    root: httpx.AsyncClient,
) -> None:
    first = (await root.post("/v1/credentials", json=NEW)).json()["secret"]
    rotated = await root.post("/v1/credentials/token/shop:rotate", json={"overlap": 3600})
    second = rotated.json()["secret"]
    assert rotated.json()["secrets"] == 2
    third = (await root.post("/v1/credentials/token/shop:rotate", json={"overlap": 0})).json()
    assert third["secrets"] == 1
    for secret, status in ((first, 401), (second, 401), (third["secret"], 202)):
        bearer = {"Authorization": f"Bearer {secret}"}
        answer = await root.post("/v1/messages", json=HELLO, headers=bearer)
        assert answer.status_code == status


async def test_lists_come_in_pages_and_by_tenant(root: httpx.AsyncClient) -> None:
    for n in range(5):
        terms = {"name": f"n{n}", "tenant": "ab"[n % 2]}
        kind = "token" if n else "user"
        assert (
            await root.post("/v1/credentials", json=NEW | terms | {"kind": kind})
        ).status_code == 201
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await root.get("/v1/credentials", params={"limit": 2, "cursor": cursor})
        seen += [f"{one['kind']}/{one['name']}" for one in answer.json()["credentials"]]
        cursor = answer.json()["cursor"]
    assert seen == ["token/n1", "token/n2", "token/n3", "token/n4", "token/root", "user/n0"]
    of_b = await root.get("/v1/credentials", params={"tenant": "b", "kind": "token"})
    assert [one["name"] for one in of_b.json()["credentials"]] == ["n1", "n3"]
    wrong = await root.get("/v1/credentials", params={"kind": "key"})
    assert [error["field"] for error in wrong.json()["errors"]] == ["kind"]


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        ({"name": "no spaces"}, ["name"]),
        ({"senders": ["a b"]}, ["senders"]),
        ({"senders": []}, ["senders"]),
        ({"scopes": ["all"]}, ["scopes"]),
        ({"networks": ["10.0.0.1/8"]}, ["networks"]),
        ({"note": "a\nb"}, ["note"]),
        ({"tenant": "a|b"}, ["tenant"]),
        ({"messages_day": -1}, ["messages_day"]),
        ({"kind": "key"}, ["kind"]),
        ({"kind": "user", "password": "short"}, ["password"]),
        ({"password": "a token has none"}, ["password"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        ({"surname": "x"}, [""]),
    ],
)
async def test_what_is_wrong_with_it_is_named(
    root: httpx.AsyncClient, terms: dict[str, Any], fields: list[str]
) -> None:
    answer = await root.post("/v1/credentials", json=NEW | terms)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields


async def test_only_an_administrator_may(serve: Serve, token: Token) -> None:
    async with serve() as url:
        sender = await token("sender", scopes=("send", "read"))
        requests = [
            ("GET", "", None),
            ("POST", "", NEW),
            ("GET", "/token/sender", None),
            ("PATCH", "/token/sender", {"scopes": ["admin"]}),
            ("POST", "/token/sender:rotate", {}),
            ("DELETE", "/token/sender", None),
        ]
        # Neither a token without the scope nor a network that needs none.
        for headers, status in ((sender, 403), ({}, 403)):
            async with httpx.AsyncClient(base_url=url, headers=headers) as api:
                for method, path, body in requests:
                    answer = await api.request(method, f"/v1/credentials{path}", json=body)
                    assert answer.status_code == status, (method, path)


async def test_an_administrator_of_a_tenant_has_that_tenants_alone(
    serve: Serve, token: Token, registry: Registry
) -> None:
    ours = await token(
        "ours", scopes=("admin",), tenant="ours", senders=("ours.example", ".sub.ours.example")
    )
    await token("others", tenant="others")
    await token("nobodys")
    async with serve() as url, httpx.AsyncClient(base_url=url, headers=ours) as api:
        mine = NEW | {"senders": ["ours.example"]}
        made = await api.post("/v1/credentials", json=mine)
        assert (made.status_code, made.json()["tenant"]) == (201, "ours")
        listed = (await api.get("/v1/credentials")).json()["credentials"]
        assert [one["name"] for one in listed] == ["ours", "shop"]
        for name in ("others", "nobodys", "root", "none"):
            place = f"/v1/credentials/token/{name}"
            asked = [
                await api.get(place),
                await api.patch(place, json={"disabled": True}),
                await api.post(f"{place}:rotate", json={}),
                await api.delete(place),
            ]
            assert [one.status_code for one in asked] == [404] * 4, name
        assert not (await registry.show("token", "others")).disabled
        beyond: list[dict[str, Any]] = [
            {"tenant": "others"},
            {"senders": ["*"]},
            {"senders": [".ours.example"]},
            {"senders": ["others.example"]},
            {"senders": ["ann@others.example"]},
        ]
        for terms in beyond:
            answer = await api.post("/v1/credentials", json=mine | {"name": "x"} | terms)
            assert answer.status_code == 403, terms
        within: list[dict[str, Any]] = [
            {"senders": ["ann@ours.example", "sub.ours.example", ".a.sub.ours.example"]}
        ]
        for terms in within:
            answer = await api.patch("/v1/credentials/token/shop", json=terms)
            assert answer.status_code == 200, terms
        assert (await api.get("/v1/credentials", params={"tenant": "others"})).status_code == 403
        assert (await api.patch("/v1/credentials/token/shop", json={"tenant": "x"})).is_error


async def test_no_administrator_of_a_tenant_gets_hold_of_more_than_he_may(
    serve: Serve, token: Token
) -> None:
    ours = await token(
        "ours",
        scopes=("admin",),
        tenant="t",
        senders=("t.example",),
        quotas=Quotas(messages_minute=10),
    )
    await token("bulk", tenant="t", senders=("*",), quotas=Quotas(messages_minute=10))
    await token("free", tenant="t", senders=("t.example",))
    async with serve() as url, httpx.AsyncClient(base_url=url, headers=ours) as api:
        for name in ("bulk", "free"):
            answer = await api.post(f"/v1/credentials/token/{name}:rotate", json={})
            assert answer.status_code == 403, name
        mine = NEW | {"senders": ["t.example"]}
        made = await api.post("/v1/credentials", json=mine)
        assert made.json()["messages_minute"] == 10
        for most in (0, 11):
            terms = {"messages_minute": most}
            assert (await api.patch("/v1/credentials/token/shop", json=terms)).status_code == 403
        assert (
            await api.patch("/v1/credentials/token/shop", json={"messages_minute": 3})
        ).status_code == 200
        # Taking away is no power to send.
        assert (await api.delete("/v1/credentials/token/bulk")).status_code == 204


@pytest.mark.parametrize(
    ("own", "sender", "covered"),
    [
        (["*"], "*", True),
        ([".com"], "*", False),
        (["a.example"], "a.example", True),
        (["a.example"], ".a.example", False),
        ([".a.example"], ".a.example", True),
        ([".a.example"], ".b.a.example", True),
        ([".a.example"], ".ba.example", False),
        ([".a.example"], "a.example", True),
        ([".b.a.example"], ".a.example", False),
        (["a.example"], "u@a.example", True),
        (["a.example"], "u@b.a.example", False),
        (["u@a.example"], "a.example", False),
        (["u@a.example"], "U@a.example", True),
        (["u@a.example"], "v@a.example", False),
        (["u@a.example"], "u@a.example", True),
    ],
)
def test_who_may_send_as_one_may_as_another(own: list[str], sender: str, covered: bool) -> None:
    assert covers(own, sender) is covered


async def test_the_place_of_suppressions_is_kept(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/suppressions")
    assert (answer.status_code, answer.json()["code"]) == (501, "not-implemented")
