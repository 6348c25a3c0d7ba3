"""`relay user`, `relay token` and `relay audit` over a real store."""

from __future__ import annotations

import json

import pytest

from tests.support.relay import relay


def test_a_login_from_its_making_to_its_end(store_url: str) -> None:
    def said(*arguments: str, stdin: bytes = b"") -> dict[str, object]:
        done = relay(*arguments, "--json", stdin=stdin, RELAY_STORE__URL=store_url)
        assert done.returncode == 0, done.stderr
        shown: dict[str, object] = json.loads(done.stdout)
        return shown

    terms = ["--tenant", "acme", "--sender", "Example.com", "--messages-per-day", "5"]
    made = said("user", "add", "ann", *terms, "--expires", "90d", "--note", "billing")
    assert len(str(made["secret"])) >= 32
    assert (made["senders"], made["messages_day"]) == (["example.com"], 5)
    changed = said("user", "set", "ann", "--network", "10.0.0.0/8", "--expires", "never")
    assert (changed["networks"], changed["expires_at"], changed["secret"]) == (
        ["10.0.0.0/8"],
        None,
        None,
    )
    assert changed["tenant"] == "acme"
    rotated = said("user", "rotate", "ann", "--password-stdin", stdin=b"a chosen password\n")
    assert (rotated["secret"], rotated["secrets"]) == ("a chosen password", 2)
    assert said("user", "disable", "ann")["disabled"] is True
    assert said("user", "enable", "ann")["disabled"] is False
    token = said("token", "add", "app", "--scope", "read", "--scope", "send", "--sender", "*")
    assert str(token["secret"]).startswith("rly_app.")
    listed = said("user", "list")["credentials"]
    assert isinstance(listed, list)
    assert [one["name"] for one in listed] == ["ann"]
    assert said("user", "remove", "ann") == {"kind": "user", "name": "ann", "removed": True}
    changes = said("audit")["changes"]
    assert isinstance(changes, list)
    assert [change["action"] for change in changes] == [
        "removed", "added", "changed", "changed", "rotated", "changed", "added",
    ]  # fmt: skip
    assert all(change["by"].startswith("cli") for change in changes)


def test_people_see_the_secret_once(store_url: str) -> None:
    made = relay("token", "add", "app", "--sender", "*", RELAY_STORE__URL=store_url)
    token = made.stdout.split("token  ")[-1].split()[0]
    assert token.startswith("rly_app.")
    for command in ("token show app", "token list", "audit"):
        done = relay(*command.split(), RELAY_STORE__URL=store_url)
        assert done.returncode == 0
        assert "app" in done.stdout
        assert token not in done.stdout


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("user add ann", 2, "relay: senders: name the domains"),
        ("user add ann --sender x@@y --network z", 2, "relay: senders: x@@y is no address"),
        ("user add ann --sender * --expires soon", 2, "relay: --expires is no duration"),
        ("user show ann", 1, "relay: there is no user ann"),
        ("token rotate ann --overlap 1x", 2, "relay: --overlap is no duration"),
        ("user add ann --sender * --password-stdin", 2, "relay: --password-stdin: standard input"),
    ],
)
def test_what_is_wrong_is_told(store_url: str, command: str, code: int, told: str) -> None:
    done = relay(*command.split(), RELAY_STORE__URL=store_url)
    assert done.returncode == code
    assert done.stderr.startswith(told)
