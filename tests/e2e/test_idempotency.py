"""A key given twice gives one message, also where reception dies before it could answer."""

from __future__ import annotations

import smtplib
import threading
import time
from collections.abc import Callable

import pytest

from tests.support.site import Site
from tests.support.system import System, freeze, thaw

_FIELD = "X-Relay-Idempotency-Key"


def content(id_: str, key: str, body: str = "hi") -> str:
    return f"{_FIELD}: {key}\r\nX-Test-Id: {id_}\r\nSubject: x\r\n\r\n{body}\r\n"


def send(port: int, text: str, to: str = "b@keyed.test") -> tuple[int, str]:
    """The reply to the final dot."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        client.mail("a@s.test")
        client.rcpt(to)
        code, said = client.data(text)
        return code, said.decode()


def test_a_key_given_again_and_at_once_gives_one_message(site: Site, system: System) -> None:
    said: list[tuple[int, str]] = []
    text = content("keyed", "k-1")
    clients = [
        threading.Thread(target=lambda: said.append(send(system.port, text))) for _ in range(8)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert {code for code, _ in said} == {250}
    assert len({words for _, words in said}) == 1
    code, words = send(system.port, content("keyed", "k-1", "something else"))
    assert (code, words[:5]) == (554, "5.5.4")
    system.until_empty()
    [taken] = [taken for taken in site.taken if taken.id == "keyed"]
    assert _FIELD.encode() not in taken.content


def test_reception_that_is_killed_before_it_answers_has_its_message_sent_once(
    site: Site, system: System
) -> None:
    text = content("killed", "k-2")
    before = len(system.keys("m:*"))
    ended = threading.Event()

    def first() -> None:
        with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
            send(system.port, text)
        ended.set()

    client = threading.Thread(target=first)
    system.store.freeze()
    client.start()
    # While the store stands still, reception asks it to admit; then reception stands still before
    # the store answers, and dies.
    until_admitted(system, lambda: len(system.keys("m:*")) > before)
    system.smtp.kill()
    client.join(30)
    assert ended.is_set()
    system.start_smtp()
    code, words = send(system.port, text)
    assert code == 250
    system.until_empty()
    assert [taken.id for taken in site.taken].count("killed") == 1
    assert len(system.keys("m:*")) == before + 1
    [message] = [name for name in system.keys("m:*") if name.rpartition(":")[2] in words]
    assert message


def until_admitted(system: System, admitted: Callable[[], bool]) -> None:
    """Reception stands still, and what it has asked before is done: they run by turns."""
    for _ in range(200):
        freeze(system.smtp)
        system.store.thaw()
        deadline = time.monotonic() + 0.1
        while time.monotonic() < deadline:
            if admitted():
                return
        system.store.freeze()
        thaw(system.smtp)
        time.sleep(0.02)
    raise AssertionError("nothing was admitted")
