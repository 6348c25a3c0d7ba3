"""Commands about many messages, from outside: on a store that was restored, and between two."""

from __future__ import annotations

import json
import smtplib
from pathlib import Path

from tests.support.relay import relay
from tests.support.up import Up, eventually


def test_a_wrong_selection_says_what_is_missing() -> None:
    done = relay("hold")
    assert done.returncode == 2
    assert "say which deliveries" in done.stderr
    done = relay("retry", "--since", "yesterday", "--before", "x")
    assert done.returncode == 2
    assert "--before: x is no time" in done.stderr
    assert "--since: yesterday is no time" in done.stderr
    done = relay("bounce", "--all", "--reply", "450 4.2.1 later")
    assert done.returncode == 2
    assert "--reply: '450 4.2.1 later' is no permanent reply" in done.stderr
    assert relay("release", "nonsense").stderr == "relay: nonsense is no message id\n"


def test_a_store_is_not_drained_into_itself() -> None:
    same = "redis://127.0.0.1:1/0"
    done = relay("drain", "--to", same, RELAY_STORE__URL=same)
    assert (done.returncode, done.stderr) == (
        2,
        "relay: --to: this is the store that is to be drained (store.url)\n",
    )


def submit(up: Up, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", up.smtp) as client:
        for recipient in recipients:
            text = f"Subject: to {recipient}\r\n\r\nhello\r\n"
            client.sendmail("ann@example.com", [recipient], text)


def arrived(up: Up, recipient: str) -> int:
    texts = [file.read_text() for file in (up.data / "sink").glob("*.eml")]
    return sum(f"Subject: to {recipient}\n" in text for text in texts)


def test_after_a_restore_everything_is_held_until_it_is_released(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Up(data) as up:
        hold = ("hold", "--domain", "a.example", "--domain", "b.example")
        relay(*hold, RELAY_DATA=str(data))
        submit(up, "u@a.example", "u@b.example", "v@b.example")
        # They wait, and nobody has said yet that they are to be held one by one.
    with Up(data, "--held") as up:
        assert "relay     held  3 deliveries" in up.output()
        submit(up, "new@c.example")
        eventually(lambda: arrived(up, "new@c.example"), up.output)
        done = relay(
            "release", "--domain", "b.example", "--dry-run", "--json", RELAY_DATA=str(data)
        )
        assert json.loads(done.stdout)["deliveries"] == 2
        assert relay("release", "--domain", "b.example", RELAY_DATA=str(data)).returncode == 0
        eventually(lambda: arrived(up, "u@b.example") + arrived(up, "v@b.example") == 2, up.output)
        shown = json.loads(relay("queue", "--json", RELAY_DATA=str(data)).stdout)
        assert [(one["domain"], one["held"]) for one in shown["queues"]] == [("a.example", 1)]
        relay("release", "--all", RELAY_DATA=str(data))
        eventually(lambda: arrived(up, "u@a.example"), up.output)
        audit = json.loads(relay("audit", "--json", RELAY_DATA=str(data)).stdout)["changes"]
        assert [one["action"] for one in audit[:2]] == ["release", "release"]
