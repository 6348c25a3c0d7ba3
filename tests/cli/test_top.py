"""`relay top` from outside."""

from __future__ import annotations

import json

from tests.support.relay import relay


def test_a_frame_is_printed_once_where_there_is_no_terminal(store_url: str) -> None:
    done = relay("top", RELAY_STORE__URL=store_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("relay top ")
    told = json.loads(relay("top", "--once", "--json", RELAY_STORE__URL=store_url).stdout)
    assert (told["workers"], told["domains"]) == (0, [])
    assert relay("top", "--interval", "0").returncode == 2
