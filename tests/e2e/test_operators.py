"""What operators see and do while messages are on their way."""

from __future__ import annotations

import json

import pytest

from tests.support.complaints import report
from tests.support.dns import Zone
from tests.support.site import Manner, Site
from tests.support.source import post, submit
from tests.support.system import System


def test_show_tells_of_each_recipient_what_became_of_it(site: Site, system: System) -> None:
    site.manners |= {
        "no@show.test": Manner(rcpt="550 5.1.1 nobody"),
        "later@later-show.test": Manner(rcpt="450 4.2.1 not now"),
    }
    accepted = submit(
        system.port, post("show", "yes@show.test", "no@show.test", "later@later-show.test")
    )

    def shown() -> dict[str, dict[str, object]]:
        view = system.relay("show", accepted["show"])
        return {recipient["address"]: recipient for recipient in view["recipients"]}

    system.until(lambda: {one["state"] for one in shown().values()} >= {"deferred", "bounced"})
    view = system.relay("show", accepted["show"])
    assert view["id"] == accepted["show"]
    assert view["sender"] == "sender@origin.test"
    assert view["size"] > 300
    found = shown()
    assert {address: one["state"] for address, one in found.items()} == {
        "yes@show.test": "delivered",
        "no@show.test": "bounced",
        "later@later-show.test": "deferred",
    }
    assert found["no@show.test"]["last_reply"] == "550 5.1.1 nobody"
    assert found["later@later-show.test"]["last_reply"] == "450 4.2.1 not now"
    assert found["later@later-show.test"]["next_attempt_at"]
    attempts = found["yes@show.test"]["attempts"]
    assert isinstance(attempts, list)
    assert [(one["host"], one["address"], one["code"]) for one in attempts] == [
        ("mx.show.test", "127.0.0.1", 250)
    ]
    del site.manners["later@later-show.test"]
    system.until_empty()
    assert shown()["later@later-show.test"]["state"] == "delivered"


def test_show_reads_well_on_a_terminal(site: Site, system: System) -> None:
    site.manners["late@plain.test"] = Manner(rcpt="450 4.7.1 greylisted", times=1)
    accepted = submit(system.port, post("plain", "late@plain.test", "soon@plain.test"))
    system.until_empty()
    done = system.run("show", accepted["plain"])
    assert done.returncode == 0
    for word in ("late@plain.test", "soon@plain.test", "delivered", "greylisted", "250"):
        assert word in done.stdout


def test_queue_groups_what_waits_by_domain(site: Site, system: System) -> None:
    site.manners["queue.test"] = Manner(rcpt="451 4.3.2 full up")
    system.dns.zones["parked.test"] = Zone(rcode="SERVFAIL", ttl=1)
    accepted = submit(
        system.port,
        *(post(f"q{n}", f"r{n}@queue.test") for n in range(3)),
        post("p", "a@parked.test"),
    )
    system.until(lambda: all(system.attempts("queue.test")))
    system.until(lambda: system.parked("parked.test"))
    # While all three are being attempted again, none is deferred.
    replies = []
    for _ in range(5):
        view = system.relay("queue")
        queues = {one["domain"]: one for one in view["queues"]}
        assert queues.keys() == {"queue.test", "parked.test"}
        replies.append(queues["queue.test"]["last_reply"])
        if replies[-1]:
            break
    assert replies[-1] == "451 4.3.2 full up"
    together = sum(queues["queue.test"][place] for place in ("waiting", "leased", "deferred"))
    assert together == 3
    assert queues["queue.test"]["oldest_age_s"] > 0
    assert queues["parked.test"]["parked_until"]
    assert "SERVFAIL" in queues["parked.test"]["last_reply"]
    assert (view["domains"], view["held"]) == (2, 0)
    for message in accepted.values():
        system.relay("cancel", message)
    system.until_empty()


def test_a_cancelled_message_is_not_sent(site: Site, system: System) -> None:
    site.manners["cancel.test"] = Manner(rcpt="451 4.3.2 later")
    accepted = submit(system.port, post("cancel", "a@cancel.test"))
    system.until(lambda: system.left().get("later"))
    answer = system.relay("cancel", accepted["cancel"])
    assert [one["answer"] for one in answer["deliveries"]] == ["cancelled"]
    del site.manners["cancel.test"]
    system.until_empty()
    view = system.relay("show", accepted["cancel"])
    assert [one["state"] for one in view["recipients"]] == ["cancelled"]
    assert not site.ids()["cancel"]
    again = system.relay("cancel", accepted["cancel"])
    assert again == answer


def test_what_is_being_sent_is_cancelled_only_if_it_does_not_arrive(
    site: Site, system: System
) -> None:
    site.manners["race.test"] = Manner(delay=5.0, dot="451 4.3.0 try again")
    accepted = submit(system.port, post("race", "a@race.test"))
    system.until(lambda: site.refused and site.refused[-1].id == "race")
    answer = system.relay("cancel", accepted["race"])
    assert [one["answer"] for one in answer["deliveries"]] == ["pending"]
    system.until_empty()
    view = system.relay("show", accepted["race"])
    assert [one["state"] for one in view["recipients"]] == ["cancelled"]


def test_the_sender_of_what_an_operator_bounces_is_told_why(site: Site, system: System) -> None:
    site.manners["sent-back.test"] = Manner(rcpt="451 4.3.2 later")
    accepted = submit(
        system.port, post("sent-back", "a@sent-back.test", sender="closed@origin.test")
    )
    system.relay("hold", accepted["sent-back"])
    # It may have been under way just then.
    system.until(lambda: system.left().get("held"))
    said = ("bounce", "--domain", "sent-back.test", "--reply", "This domain is closed")
    assert system.relay(*said, "--dry-run")["deliveries"] == 1
    assert system.relay(*said)["answers"] == {"bounced": 1}
    system.until_empty()
    view = system.relay("show", accepted["sent-back"])
    assert [(one["state"], one["last_reply"]) for one in view["recipients"]] == [
        ("bounced", "550 5.7.1 This domain is closed")
    ]
    system.until(lambda: site.for_recipient("closed@origin.test"))
    [report] = site.for_recipient("closed@origin.test")
    assert b"Final-Recipient: rfc822; a@sent-back.test" in report.content
    assert b"Status: 5.7.1\r\n" in report.content
    assert b"Diagnostic-Code: x-relay; 550 5.7.1 This domain is closed" in report.content
    assert b"Last-Attempt-Date" not in report.content


def test_a_complaint_is_traced_back_to_the_message_that_was_delivered(
    site: Site, system: System
) -> None:
    accepted = submit(system.port, post("unwanted", "fan@unwanted.test"))
    system.until(lambda: site.ids()["unwanted"])
    [taken] = site.for_recipient("fan@unwanted.test")
    returned = taken.content.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n")
    arf = report(original="text/rfc822-headers", recipient="fan@unwanted.test")
    head, mark, _ = arf.replace(b"\r\n", b"\n").rpartition(b"Received: from relay.test")
    del mark
    after = head + returned + b"\n--part1--\n"
    noted = system.run("complaint", "--json", stdin=after)
    assert noted.returncode == 0, noted.stderr
    assert json.loads(noted.stdout) == {
        "message": accepted["unwanted"],
        "tenant": "",
        "recipient": "fan@unwanted.test",
        "kind": "abuse",
        "answer": "noted",
    }
    told = system.run("tail", "--kind", "complained", "--json").stdout
    assert accepted["unwanted"] in told
    system.until(lambda: any(one.records("complained") for one in system.workers))
    [shown] = system.relay("show", accepted["unwanted"])["complaints"]
    assert shown["recipient"] == "fan@unwanted.test"
    nothing = system.run("complaint", stdin=b"Subject: hello\n\nno report\n")
    assert nothing.returncode == 65
    assert "no complaint was noted: it is no multipart/report" in nothing.stderr


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_an_unknown_message_is_said_to_be_unknown(system: System, command: str) -> None:
    done = system.run(command, "1m84nytvp001vn6nw4r2", "--json")
    assert done.returncode == 1
    assert "1m84nytvp001vn6nw4r2" in done.stderr
