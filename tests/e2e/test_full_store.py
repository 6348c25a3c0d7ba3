"""A store that fills up: clients are told to wait, deliveries go on, then there is room again."""

from __future__ import annotations

import smtplib
import time

from tests.support.site import Manner, Site
from tests.support.source import Source, post
from tests.support.system import System

_MEGABYTE = 1 << 20
_VARIABLES = {"RELAY_RETRY__FIRST": "1s", "RELAY_STORE__MEMORY_HIGH": "0.6"}


def test_intake_refuses_before_the_store_is_full_and_resumes_by_itself() -> None:
    with Site(keep=False) as site, System(site, _VARIABLES) as system:
        system.store.command("CONFIG", "SET", "maxmemory", str(40 * _MEGABYTE))
        # Intake looks once a second: what comes before that it knows another limit for.
        time.sleep(1.5)
        site.manners["full.test"] = Manner(rcpt="450 4.3.2 later")
        # Of several primaries each has a limit of its own.
        many = 200 * len(system.store.primaries)
        posts = [post(f"{number}", f"u{number}@full.test", size=200_000) for number in range(many)]
        with Source(system.port, posts, connections=4) as source:
            system.until(lambda: any(said.startswith("452 4.3.1") for said in source.refusals))
            assert len(source.accepted) < many * 3 / 4
            # It says so before the content is sent.
            with smtplib.SMTP("127.0.0.1", system.port) as client:
                client.ehlo()
                assert client.mail("a@s.test")[0] == 250
                code, text = client.rcpt("b@full.test")
                assert (code, text[:5]) == (452, b"4.3.1")
                assert client.docmd("DATA")[0] == 451
            # No write failed: what is on its way can be finished.
            assert b"errorstat_OOM" not in system.store.command("INFO", "errorstats")
            del site.manners["full.test"]
            source.wait(60)
        system.until_empty(60)
        assert {taken.id for taken in site.taken} == {each.id for each in posts}
        assert len(site.taken) == many
        assert b"errorstat_OOM" not in system.store.command("INFO", "errorstats")
