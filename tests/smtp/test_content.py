"""Content of any size: piece by piece, never faster than the host takes it, the final dot last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from relay.errors import StoreUnavailable
from relay.smtp.options import Timeouts
from relay.smtp.pieces import PIECE
from relay.smtp.session import Session
from relay.smtp.transaction import Transaction
from tests.smtp.build import CONTENT, message, run, session_with
from tests.support.driver import Broken, Finished, Recorder
from tests.support.mx import EXTENSIONS, STALL, Mx

TAKEN = "message 250 2.0.0 taken"
LARGE = b"".join(b"line %d\r\n.dotted\r\n..twice\r\n" % n for n in range(60_000))


def chunked(token: object, content: bytes, length: int) -> Transaction:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), length):
            await asyncio.sleep(0)
            yield content[start : start + length]

    return message(token, body=None, chunks=chunks, size=len(content))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="none"),
        pytest.param(b".\r\n", id="a dot"),
        pytest.param(b".\r\n.\r\n..\r\n", id="dots"),
        pytest.param(b"a\r\n.\r\nb\r\n", id="a dot within"),
        pytest.param(b"\r\n.\r\n", id="no header"),
        pytest.param(b"x" * (PIECE - 2) + b"\r\n", id="just in one write"),
        pytest.param(b"x" * (PIECE - 1) + b"\r\n.y\r\n", id="line end across a border"),
        pytest.param(b"x" * (PIECE - 2) + b"\r\n.y\r\n", id="dot after a border"),
        pytest.param(LARGE, id="1.7 MB"),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["one piece", "chunks"])
async def test_content_arrives_as_it_was(content: bytes, whole: bool) -> None:
    async with Mx() as mx:
        first = message(1, body=content) if whole else chunked(1, content, 100_001)
        recorder = Recorder([first, message(2)])
        await run(mx, recorder, 2)
    assert recorder.heard == [Finished(1, (TAKEN,)), Finished(2, (TAKEN,))]
    assert [taken.content for taken in mx.taken] == [content, CONTENT]


async def test_content_without_an_end_of_line_gets_one() -> None:
    async with Mx() as mx:
        await run(mx, Recorder([message(1, body=b"a\r\n.b"), chunked(2, b"a\r\n.b", 2)]), 2)
    assert [taken.content for taken in mx.taken] == [b"a\r\n.b\r\n"] * 2


async def test_chunks_are_read_no_faster_than_the_host_takes_them() -> None:
    asked = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield (b"x" * 998 + b"\r\n") * 262

    async with Mx({"CONTENT": STALL}) as mx:
        recorder = Recorder([message(1, body=None, chunks=chunks, size=1)])
        session = await session_with(mx, timeouts=Timeouts(block=1.0))
        session.start(recorder)
        await recorder.until_closed()
    assert recorder.heard == [
        Broken(1, "host 421 4.4.2 no answer within 1 s in phase content", False, "content")
    ]
    # 256 KiB each; the kernel buffers a few megabytes of them on loopback.
    assert 1 < asked < 100


async def test_the_last_piece_waits_until_the_host_took_all_before_it() -> None:
    """The driver is asked for leave only then: the lease may have ended meanwhile."""
    async with Mx({"CONTENT": STALL}) as mx:
        recorder = Recorder([message(1, body=LARGE * 12)])
        recorder.permit = False
        session = await session_with(mx, timeouts=Timeouts(block=0.5))
        session.start(recorder)
        await recorder.until_closed()
    [event] = recorder.heard
    assert isinstance(event, Broken)
    assert event.failure.startswith("host 421 4.4.2 no answer within 0.5 s")
    assert mx.taken == []


@pytest.mark.parametrize("body", [CONTENT, LARGE], ids=["small", "large"])
async def test_without_leave_the_final_dot_is_not_written(body: bytes) -> None:
    async with Mx() as mx:
        recorder = Recorder([message(1, body=body), message(2)])
        recorder.permit = False
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
        await mx.until(lambda mx: mx.open == 0)
    assert recorder.heard == [
        Broken(1, "message 451 4.3.0 the final dot was withheld", False, "content")
    ]
    assert mx.taken == []
    assert "." not in mx.commands
    assert [left.token for left in recorder.waiting] == [2]


async def test_content_that_cannot_be_read_is_not_sent() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield LARGE[:100_000]
        raise StoreUnavailable("gone")

    async with Mx() as mx:
        recorder = Recorder([message(1, body=None, chunks=chunks, size=1)])
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
    assert recorder.heard == [
        Broken(1, "message 451 4.3.0 the content could not be read", False, "content")
    ]
    assert mx.taken == []


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        pytest.param(
            "552 5.3.4 too big", Finished(1, ("message 552 5.3.4 too big",)), id="refuses"
        ),
        pytest.param(
            "421 4.3.2 bye", Broken(1, "host 421 4.3.2 bye", False, "content"), id="closes"
        ),
        pytest.param(
            "250 2.0.0 taken",
            Broken(
                1,
                "host 421 4.5.0 protocol error: a reply before the final dot: 250 2.0.0 taken",
                False,
                "content",
            ),
            id="accepts too early",
        ),
    ],
)
@pytest.mark.parametrize("extensions", [EXTENSIONS, ("SIZE",)], ids=["pipelined", "one by one"])
async def test_a_reply_in_the_midst_of_the_content_ends_the_session(
    said: str, heard: Finished | Broken, extensions: tuple[str, ...]
) -> None:
    async with Mx({"CONTENT": said}, extensions) as mx:
        recorder = Recorder([message(1, body=LARGE * 12)])
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
    assert recorder.heard == [heard]


async def test_abort_in_the_midst_of_the_content_closes_at_once() -> None:
    closed = asyncio.Event()
    sessions: list[Session] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield LARGE[:100_000]
            sessions[0].abort()
            yield LARGE
        finally:
            closed.set()

    async with Mx() as mx:
        recorder = Recorder([message(1, body=None, chunks=chunks, size=1)])
        sessions.append(await session_with(mx))
        sessions[0].start(recorder)
        await recorder.until_closed()
        async with asyncio.timeout(5):
            await closed.wait()
    [event] = recorder.heard
    assert isinstance(event, Broken)
    assert (event.in_doubt, event.phase) == (False, "content")
    assert mx.taken == []
