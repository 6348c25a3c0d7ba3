"""Where DSNs are switched off, nothing is kept for them."""

from __future__ import annotations

from tests.support.site import Manner, Site
from tests.support.source import post, submit
from tests.support.system import System


def test_without_dsns_a_bounced_messages_content_goes_and_its_sender_hears_nothing() -> None:
    with Site() as site, System(site, {"RELAY_DSN__ENABLED": "false"}) as system:
        site.manners["gone@one.test"] = Manner(rcpt="550 5.1.1 who?")
        [id_] = submit(system.port, post("1", "gone@one.test")).values()
        system.until(lambda: not system.keys(f"c:{id_}"), "its content is gone")
        system.until_empty()
        submit(system.port, post("2", "after@one.test"))
        system.until(lambda: site.ids()["2"])
        assert site.for_recipient("sender@origin.test") == []
