"""What becomes of a message, by what its hosts and the DNS say."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import cast

import pytest

from relay.mail.ids import partition_of
from tests.support.dns import Zone
from tests.support.site import Manner, Site, Taken
from tests.support.source import Post, post, submit
from tests.support.system import System

#: The key of the zset that says when deliveries were accepted, and of that of those to come.


def bounce(site: Site, system: System, sender: str) -> EmailMessage:
    """The one DSN that its sender gets."""
    system.until(lambda: site.for_recipient(sender), lambda: f"a DSN to {sender}")
    system.until_empty()
    found = site.for_recipient(sender)
    assert len(found) == 1, found
    return parsed(found[0])


def parsed(taken: Taken) -> EmailMessage:
    """A DSN as a mail reader sees it."""
    assert taken.sender == ""
    message = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert not message.defects
    return message


def recipients(dsn: EmailMessage) -> dict[str, tuple[str, str]]:
    """Final recipient -> action and status, from the part for machines."""
    [status] = [p for p in dsn.walk() if p.get_content_type() == "message/delivery-status"]
    blocks = cast(list[EmailMessage], status.get_payload())
    assert blocks[0]["Reporting-MTA"] == "dns; relay.test"
    return {
        block["Final-Recipient"].partition(";")[2].strip(): (block["Action"], block["Status"])
        for block in blocks[1:]
    }


def from_(sender: str, id_: str, *to: str) -> Post:
    return post(id_, *to, sender=sender)


def deferred(system: System) -> int:
    return system.left().get("later", 0)


@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(Manner(rcpt="450 4.2.1 try again", times=1), id="RCPT"),
        pytest.param(Manner(data="451 4.3.0 try again", times=1), id="DATA"),
        pytest.param(Manner(dot="452 4.2.2 try again", times=1), id="final dot"),
        pytest.param(Manner(rcpt="552 5.2.2 mailbox full", times=1), id="552 at RCPT"),
    ],
)
def test_what_is_refused_for_now_is_delivered_later(
    site: Site, system: System, manner: Manner
) -> None:
    id_ = f"later-{len(site.taken)}-{len(site.refused)}"
    site.manners[f"{id_}@later.test"] = manner
    submit(system.port, post(id_, f"{id_}@later.test"))
    system.until(lambda: deferred(system))
    assert not site.ids()[id_]
    system.until(lambda: site.ids()[id_])
    system.until_empty()
    assert site.ids()[id_] == 1


def test_a_reply_that_was_lost_makes_a_double_that_is_counted(site: Site, system: System) -> None:
    site.manners["lost@lost.test"] = Manner(hang_up=True, times=1)
    accepted = submit(system.port, post("lost", "lost@lost.test"))
    system.until(lambda: site.ids()["lost"] == 2)
    system.until_empty()
    assert site.ids()["lost"] == 2
    assert system.possible_doubles(accepted["lost"]) == 1


def test_only_the_recipients_that_were_deferred_are_tried_again(site: Site, system: System) -> None:
    site.manners["late@mixed.test"] = Manner(rcpt="451 4.7.1 greylisted", times=1)
    submit(system.port, post("mixed", "early@mixed.test", "late@mixed.test"))
    system.until(lambda: site.ids()["mixed"] >= 2)
    system.until_empty()
    sets = [one.recipients for one in site.taken if one.id == "mixed"]
    assert sets == [("early@mixed.test",), ("late@mixed.test",)]


@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(Manner(rcpt="550 5.1.1 who is that"), id="RCPT"),
        pytest.param(Manner(dot="550 5.1.1 not wanted"), id="final dot"),
    ],
)
def test_the_sender_of_a_bounced_message_gets_one_dsn(
    site: Site, system: System, manner: Manner
) -> None:
    name = f"bounced{len(site.refused)}{manner.dot[:3]}"
    site.manners[f"{name}@strict.test"] = manner
    submit(system.port, from_(f"{name}@origin.test", name, f"{name}@strict.test"))
    dsn = bounce(site, system, f"{name}@origin.test")
    assert recipients(dsn) == {f"{name}@strict.test": ("failed", "5.1.1")}
    assert dsn["To"] == f"{name}@origin.test"
    assert dsn["Auto-Submitted"] == "auto-replied"
    text = next(dsn.iter_parts())
    assert text.get_content_type() == "text/plain"
    assert f"{name}@strict.test" in text.get_content()
    assert f"X-Test-Id: {name}" in dsn.as_string()


def test_a_dsn_lists_those_who_bounced_and_not_those_who_got_it(site: Site, system: System) -> None:
    site.manners["no@some.test"] = Manner(rcpt="550 5.1.1 no")
    site.manners["nor@some.test"] = Manner(rcpt="553 5.1.3 nor")
    submit(
        system.port,
        from_("some@origin.test", "some", "no@some.test", "yes@some.test", "nor@some.test"),
    )
    dsn = bounce(site, system, "some@origin.test")
    assert recipients(dsn) == {
        "no@some.test": ("failed", "5.1.1"),
        "nor@some.test": ("failed", "5.1.3"),
    }
    first = next(one for one in site.taken if one.id == "some")
    assert first.recipients == ("yes@some.test",)


def test_a_bounced_dsn_causes_no_other(site: Site, system: System) -> None:
    site.manners["gone@origin.test"] = Manner(rcpt="550 5.1.1 gone")
    site.manners["also@gone.test"] = Manner(rcpt="550 5.1.1 gone")
    before = len(site.taken)
    submit(system.port, from_("gone@origin.test", "gone", "also@gone.test"))
    system.until(lambda: len(system.keys("m:*")) and not site.manners["gone@origin.test"].dot)
    system.until_empty()
    assert len(site.taken) == before


@pytest.mark.parametrize(
    ("zone", "status"),
    [
        pytest.param(Zone(rcode="NXDOMAIN"), "5.1.2", id="no such domain"),
        pytest.param(Zone(mx=["0 ."], a=["127.0.0.1"]), "5.1.10", id="null MX"),
        pytest.param(Zone(), "5.4.4", id="neither MX nor address"),
    ],
)
def test_a_domain_that_takes_no_mail_bounces_it(
    site: Site, system: System, zone: Zone, status: str
) -> None:
    name = f"nomail{status.replace('.', '')}"
    system.dns.zones[f"{name}.test"] = zone
    submit(system.port, from_(f"{name}@origin.test", name, f"a@{name}.test"))
    dsn = bounce(site, system, f"{name}@origin.test")
    assert recipients(dsn) == {f"a@{name}.test": ("failed", status)}


def test_a_domain_that_cannot_be_looked_up_waits_and_costs_no_attempt(
    site: Site, system: System
) -> None:
    system.dns.zones["broken.test"] = Zone(rcode="SERVFAIL")
    submit(system.port, post("broken", "a@broken.test"))
    system.until(lambda: system.parked("broken.test"))
    assert system.attempts("broken.test") == [0]
    system.dns.zones["broken.test"] = Zone(a=["127.0.0.1"])
    system.dns.forget()
    system.until(lambda: site.ids()["broken"], "it is tried again")
    system.until_empty()


def test_a_private_address_is_not_connected_to_unless_it_is_allowed(
    site: Site, system: System
) -> None:
    system.at("127.9.0.1", "private.test")
    accepted = submit(system.port, post("private", "a@private.test"))
    system.until(lambda: system.parked("private.test"))
    assert "delivery.private_targets" in system.parked("private.test")
    assert site.traffic["127.9.0.1"].total == 0
    answer = system.relay("cancel", accepted["private"])
    assert [one["answer"] for one in answer["deliveries"]] == ["cancelled"]
    system.until_empty()


def test_what_is_too_old_expires_and_its_sender_is_told(site: Site, system: System) -> None:
    site.manners["old@old.test"] = Manner(rcpt="450 4.2.1 not today")
    accepted = submit(system.port, from_("old@origin.test", "old", "old@old.test"))
    age = system.partitions[partition_of(accepted["old"])].age
    [delivery] = [
        key
        for key in system.store.command("ZRANGE", age, 0, -1)
        if key.decode().startswith(accepted["old"])
    ]
    system.store.command("ZADD", age, 1_000_000, delivery)
    dsn = bounce(site, system, "old@origin.test")
    assert recipients(dsn) == {"old@old.test": ("failed", "4.4.7")}
