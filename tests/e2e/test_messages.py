"""What is submitted arrives as it was, apart from one trace header."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.dns import Zone
from tests.support.programs import program
from tests.support.site import Site
from tests.support.source import Post, post, submit, without_trace
from tests.support.system import System

HEAD = b"From: a@origin.test\r\nSubject: what a day\r\n"


def message(id_: str, body: bytes, *recipients: str, parameters: str = "") -> Post:
    content = f"X-Test-Id: {id_}\r\n".encode() + HEAD + b"\r\n" + body
    return Post(id_, recipients, content, parameters=parameters)


def test_a_message_that_swaks_submits_arrives(site: Site, system: System) -> None:
    letter = "--from a@origin.test --to b@swaks.test --header X-Test-Id:swaks --body hello"
    done = subprocess.run(
        [program("swaks"), "--server", f"127.0.0.1:{system.port}", *letter.split()],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout
    assert "250 2.0.0 Ok: queued as " in done.stdout
    system.until(lambda: site.ids()["swaks"])
    [taken] = site.for_recipient("b@swaks.test")
    assert taken.sender == "a@origin.test"
    received, rest = taken.content.split(b"\r\n", 1)
    assert received.startswith(b"Received: from ")
    assert b"by relay.test" in taken.content
    assert b"\r\n\r\nhello\r\n" in rest


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        pytest.param(b"hello\r\n", "", id="short"),
        pytest.param(b"", "", id="no body"),
        pytest.param(b".\r\n..\r\n.dot\r\nno.dot\r\n...\r\n", "", id="dots"),
        pytest.param("grüße aus köln\r\n".encode() * 9, "BODY=8BITMIME", id="8bit"),
        pytest.param(b"x" * 998 + b"\r\n" + b" \t \r\n\r\n\r\n", "", id="long lines, blanks"),
        pytest.param(b"y" * 70 + b"\r\n.\x01\x7f\r\n", "", id="control octets"),
        pytest.param((b"." + b"z" * 76 + b"\r\n") * 20_000, "", id="1.6 MB, in chunks"),
        pytest.param((b"c" * 60 + b"\r\n") * 4230, "", id="just above one chunk"),
    ],
)
def test_the_octets_that_were_submitted_are_sent(
    site: Site, system: System, body: bytes, parameters: str, request: pytest.FixtureRequest
) -> None:
    id_ = f"octets-{abs(hash(request.node.name))}"
    one = message(id_, body, f"{id_}@octets.test", parameters=parameters)
    submit(system.port, one)
    system.until(lambda: site.ids()[id_])
    [taken] = site.for_recipient(f"{id_}@octets.test")
    assert without_trace(taken.content) == one.content
    assert taken.content != one.content


def test_recipients_in_one_domain_share_a_transaction_and_domains_do_not(
    site: Site, system: System
) -> None:
    many = [f"r{n}@many.test" for n in range(5)]
    one = post("fan-out", *many, "a@first.test", "b@second.test", "c@first.test")
    submit(system.port, one)
    system.until(lambda: site.ids()["fan-out"] >= 3)
    system.until_empty()
    sets = sorted(one.recipients for one in site.taken if one.id == "fan-out")
    assert sets == [
        ("a@first.test", "c@first.test"),
        ("b@second.test",),
        tuple(many),
    ]


def test_more_than_a_hundred_recipients_in_a_domain_take_several_transactions(
    site: Site, system: System
) -> None:
    recipients = [f"r{n}@crowd.test" for n in range(230)]
    submit(system.port, post("crowd", *recipients))
    system.until(lambda: site.ids()["crowd"] >= 3)
    system.until_empty()
    sets = [one.recipients for one in site.taken if one.id == "crowd"]
    assert sorted(map(len, sets)) == [30, 100, 100]
    assert sorted(sum(sets, ())) == sorted(recipients)


def test_messages_for_one_host_share_its_connections(site: Site, system: System) -> None:
    system.at("127.0.0.77", "busy.test")
    posts = [post(f"busy-{n}", f"r{n}@busy.test") for n in range(300)]
    submit(system.port, *posts)
    system.until(lambda: len([id_ for id_ in site.ids() if id_.startswith("busy-")]) == 300)
    system.until_empty()
    assert site.traffic["127.0.0.77"].total < 30


def test_mail_to_a_host_without_an_mx_goes_to_its_address(site: Site, system: System) -> None:
    system.dns.zones["implicit.test"] = Zone(a=["127.0.0.1"])
    submit(system.port, post("implicit", "a@implicit.test"))
    system.until(lambda: site.ids()["implicit"])


def test_the_next_host_is_tried_when_the_best_one_is_down(site: Site, system: System) -> None:

    system.dns.zones["mx1.backup.test"] = Zone(a=["127.0.0.78"])
    system.dns.zones["mx2.backup.test"] = Zone(a=["127.0.0.79"])
    system.dns.zones["backup.test"] = Zone(mx=["10 mx1.backup.test.", "20 mx2.backup.test."])
    site.listen("127.0.0.79")
    submit(system.port, post("backup", "a@backup.test"))
    system.until(lambda: site.ids()["backup"])
    assert [one.address for one in site.taken if one.id == "backup"] == ["127.0.0.79"]
