"""Scripts: how a file becomes source, and how it is called."""

from __future__ import annotations

import pytest

from relay.store.address import Address
from relay.store.script import Script, assemble, run, run_all
from relay.store.wire import ReplyError, Wire

ECHO = Script("echo", "#!lua\nreturn {KEYS[1], ARGV[1]}")
FAIL = Script("fail", "#!lua\nreturn redis.error_reply('WRONG ' .. ARGV[1])")


def test_used_chunks_come_after_the_shebang_line_in_their_order() -> None:
    text = "#!lua flags=allow-oom\n-- USES b\n-- USES a\nreturn 1\n"
    lines = assemble(text, {"a": "-- a", "b": "-- b"}).splitlines()
    assert lines == [
        "#!lua flags=allow-oom",
        "-- b",
        "-- a",
        "-- USES b",
        "-- USES a",
        "return 1",
    ]


def test_a_script_without_a_shebang_line_is_refused() -> None:
    with pytest.raises(ValueError, match="shebang"):
        assemble("return 1", {})


async def test_a_script_runs_by_digest_and_whole_the_first_time(store_url: str) -> None:
    wire = await Wire.connect(Address.parse(store_url), timeout=5)
    for _ in range(2):
        assert await run(wire, ECHO, ["k"], ["v"]) == [b"k", b"v"]
    await wire.close()


async def test_many_calls_go_together_and_the_first_error_comes_after_all(store_url: str) -> None:
    wire = await Wire.connect(Address.parse(store_url), timeout=5)
    many = [(ECHO, ["k"], [str(n)]) for n in range(5)]
    assert await run_all(wire, many) == [[b"k", str(n).encode()] for n in range(5)]
    with pytest.raises(ReplyError, match="WRONG 1"):
        await run_all(wire, [*many, (FAIL, ["k"], ["1"]), (FAIL, ["k"], ["2"])])
    assert wire.in_flight == 0
    await wire.close()
