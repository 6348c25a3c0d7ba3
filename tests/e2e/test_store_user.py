"""The roles work as the user of the store that docs/security.md gives them; nothing is refused."""

from __future__ import annotations

import re
import smtplib
from collections.abc import Iterator

import httpx
import pytest

from tests.support.documents import DOCS
from tests.support.programs import program
from tests.support.site import Manner, Site
from tests.support.system import System
from tests.support.valkey import STORE_OPTIONS, ValkeyServer

_RULE = re.compile(r"^ACL SETUSER relay (.+)$", re.MULTILINE)


class Guarded(ValkeyServer):
    """A store that is reached as that user alone, but for tests."""

    @property
    def url(self) -> str:
        return f"redis://relay:secret@127.0.0.1:{self.port}/0"

    def start(self) -> ValkeyServer:
        started = super().start()
        found = _RULE.search((DOCS / "security.md").read_text("utf-8"))
        assert found
        words = found[1].replace("PASSWORD", "secret").split()
        self.command("ACL", "SETUSER", "relay", *words)
        return started


@pytest.fixture(params=["valkey", "redis-server"])
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    binary = "" if request.param == "valkey" else str(program("redis-server"))
    variables = {
        "RELAY_HTTP__NETWORKS": "127.0.0.0/8",
        "RELAY_RETRY__FIRST": "1s",
        "RELAY_STORE__INDEX": "recipients,tags",
    }
    store = Guarded(binary, **STORE_OPTIONS)
    with Site() as site, System(site, variables, store=store) as made:
        yield made


def test_the_roles_need_no_more_than_the_user_of_the_documents(system: System) -> None:
    site = system.site
    assert site
    site.manners["grey.test"] = Manner(rcpt="451 4.7.1 greylisted")
    with smtplib.SMTP("127.0.0.1", system.port) as client:
        content = "X-Test-Id: m1\r\nFrom: a@origin.test\r\n\r\nhi\r\n"
        client.sendmail("a@origin.test", ["b@one.test", "c@grey.test"], content)
    with httpx.Client(base_url=system.start_http()) as api:
        message = {"from": "a@origin.test", "to": "b@two.test", "text": "x", "tags": ["t"]}
        id_ = api.post("/v1/messages", json=message).json()["id"]
        system.until(lambda: site.for_recipient("b@two.test"))
        assert api.get(f"/v1/messages/{id_}").status_code == 200
        assert len(api.get("/v1/messages", params={"tag": "t"}).json()["deliveries"]) == 1
        found = api.get("/v1/messages", params={"domain": "grey.test"}).json()["deliveries"]
        assert api.post(f"/v1/messages/{found[0]['message']}:cancel").status_code == 200
    system.relay("user", "add", "ann", "--sender", "origin.test", "--json")
    system.relay("queue", "--json")
    system.until_empty()
    assert system.store.command("ACL", "LOG") == []
