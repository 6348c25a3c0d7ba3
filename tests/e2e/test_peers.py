"""Servers and clients of somebody else's making: Postfix, smtp-source and smtp-sink."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.postfix import Postfix
from tests.support.site import Site
from tests.support.source import post, submit
from tests.support.system import System

DOMAIN, ADDRESS = "postfix.test", "127.0.4.1"


@pytest.fixture(scope="module")
def postfix(site: Site, shared: System) -> Iterator[Postfix]:
    """A Postfix for postfix.test."""
    with Postfix(DOMAIN, ADDRESS, site.port) as made:
        shared.place(ADDRESS, DOMAIN)
        yield made


def test_postfix_takes_a_message_over_tls(postfix: Postfix, system: System) -> None:
    one = post("tls", f"known@{DOMAIN}", size=20_000)
    accepted = submit(system.port, one)
    system.until(postfix.messages, lambda: postfix.log)
    [message] = postfix.messages()
    # Postfix puts fields in front of the header, and adds those that are missing to its end.
    head, body = one.content.replace(b"\r\n", b"\n").split(b"\n\n", 1)
    assert head in message
    assert message.endswith(b"\n\n" + body)
    assert b"using TLSv1.3" in message
    assert b"for <known@postfix.test>" in message
    view = system.relay("show", accepted["tls"])
    [attempt] = view["recipients"][0]["attempts"]
    assert (attempt["tls"], attempt["address"]) == ("TLSv1.3", ADDRESS)
    assert "queued as" in attempt["text"]


def test_what_postfix_says_of_each_recipient_counts(
    postfix: Postfix, site: Site, system: System
) -> None:
    to = [f"unknown@{DOMAIN}", f"known@{DOMAIN}", f"nobody@{DOMAIN}"]
    before = len(postfix.messages())
    accepted = submit(system.port, post("three", *to, sender="three@origin.test"))
    system.until(lambda: site.for_recipient("three@origin.test"))
    system.until(lambda: len(postfix.messages()) == before + 1)
    view = system.relay("show", accepted["three"])
    assert [one["state"] for one in view["recipients"]] == ["bounced", "delivered", "bounced"]
    assert "5.1.1" in view["recipients"][0]["last_reply"]


def test_many_messages_to_postfix_arrive_once_each(postfix: Postfix, system: System) -> None:
    before = len(postfix.messages())
    posts = [post(f"many{n}", f"known@{DOMAIN}", size=2000) for n in range(300)]
    submit(system.port, *posts)
    system.until(lambda: len(postfix.messages()) >= before + 300, lambda: postfix.log[-2000:])
    found = b"".join(postfix.messages())
    assert all(found.count(f"X-Test-Id: many{n}\n".encode()) == 1 for n in range(300))


def test_smtp_source_in_and_smtp_sink_out(tmp_path: Path) -> None:
    count, port = 2000, free_port()
    options = f"-s 10 -m {count} -l 4096 -N -f from@origin.test -t to@source.test"
    tmp_path.chmod(0o777)
    out = (tmp_path / "sink.out").open("wb")
    sink = subprocess.Popen(
        ["/usr/sbin/smtp-sink", "-u", "nobody", "-c", f"127.0.0.1:{port}", "256"],
        stdout=out,
        stderr=out,
    )
    try:
        with System(None, {"RELAY_DELIVERY__PORT": str(port)}) as system:
            subprocess.run(
                ["/usr/sbin/smtp-source", *options.split(), f"127.0.0.1:{system.port}"],
                check=True,
                timeout=60,
            )
            system.until_empty()
            assert len(system.keys("m:*")) == count
    finally:
        sink.terminate()
        sink.wait(10)
        out.close()
    counted = (tmp_path / "sink.out").read_text().replace("\r", "\n").split()
    assert f"mesg={count}" in counted
    assert f"mesg={count + 1}" not in counted
