"""One message, all the way."""

from __future__ import annotations

from tests.support.site import Site
from tests.support.source import post, submit, without_trace
from tests.support.system import System


def test_a_message_gets_through():
    with Site() as site, System(site) as system:
        one = post("1", "a@one.test")
        submit(system.port, one)
        system.until(lambda: site.ids()["1"])
        system.until_empty()
        assert without_trace(site.taken[0].content) == one.content
