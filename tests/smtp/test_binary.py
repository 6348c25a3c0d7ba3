"""Content that is not made of lines: by BDAT, octet for octet, or not at all (RFC 3030)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.smtp.build import message, run
from tests.support.driver import Finished, Recorder
from tests.support.mx import EXTENSIONS, Mx

BINARY = (*EXTENSIONS, "CHUNKING", "BINARYMIME")
PLAIN = tuple(one for one in BINARY if one != "PIPELINING")
ODD = b"Subject: x\r\n\r\n.\n.\r\nbare\rbare\n\0\xff\r\n.\r\nQUIT\r\nno end"
TAKEN = "message 250 2.0.0 taken"


@pytest.mark.parametrize("extensions", [BINARY, PLAIN], ids=["pipelined", "one by one"])
async def test_it_arrives_as_it_is_between_messages_that_go_by_data(
    extensions: tuple[str, ...],
) -> None:
    odd = [message(n, body=ODD, size=len(ODD), binary=True) for n in (2, 3)]
    async with Mx(extensions=extensions) as mx:
        recorder = Recorder([message(1), *odd, message(4)])
        await run(mx, recorder, 4)
    assert recorder.heard == [Finished(n, (TAKEN,)) for n in range(1, 5)]
    assert [taken.content for taken in mx.taken[1:3]] == [ODD, ODD]
    assert mx.taken[3].content == mx.taken[0].content
    assert sum(" BODY=BINARYMIME" in command for command in mx.commands) == 2


async def test_large_content_is_one_chunk_however_it_is_read() -> None:
    pieces = [b"a\n" * 40_000, b"\r" * 100_000, b"", b"end"]

    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    large = message(1, body=None, size=sum(map(len, pieces)), chunks=chunks, binary=True)
    async with Mx(extensions=BINARY) as mx:
        recorder = Recorder([large, message(2)])
        await run(mx, recorder, 2)
    assert recorder.heard == [Finished(1, (TAKEN,)), Finished(2, (TAKEN,))]
    assert mx.taken[0].content == b"".join(pieces)
    assert [one for one in mx.commands if one.startswith("BDAT")] == ["BDAT 180003 LAST"]


@pytest.mark.parametrize("extensions", [BINARY, PLAIN], ids=["pipelined", "one by one"])
async def test_where_no_recipient_is_taken_no_octet_is_sent(extensions: tuple[str, ...]) -> None:
    async with Mx({"RCPT TO:<a@": "550 5.1.1 who?"}, extensions) as mx:
        odd = message(1, "a@s.example", body=ODD, size=len(ODD), binary=True)
        recorder = Recorder([odd, message(2, "b@s.example")])
        await run(mx, recorder, 2)
    assert recorder.heard == [Finished(1, ("recipient 550 5.1.1 who?",)), Finished(2, (TAKEN,))]
    assert "RSET" in mx.commands
    assert not any(command.startswith("BDAT") for command in mx.commands)


async def test_one_recipient_of_two_is_enough() -> None:
    async with Mx({"RCPT TO:<a@": "550 5.1.1 who?"}, BINARY) as mx:
        odd = message(1, "a@s.example", "b@s.example", body=ODD, size=len(ODD), binary=True)
        recorder = Recorder([odd])
        await run(mx, recorder, 1)
    assert recorder.heard == [Finished(1, ("recipient 550 5.1.1 who?", TAKEN))]


@pytest.mark.parametrize("missing", ["CHUNKING", "BINARYMIME"])
async def test_a_host_that_does_not_take_it_is_not_sent_it(missing: str) -> None:
    extensions = [one for one in BINARY if one != missing]
    async with Mx(extensions=extensions) as mx:
        recorder = Recorder([message(1, body=ODD, size=len(ODD), binary=True)])
        await run(mx, recorder, 1)
    [finished] = recorder.heard
    assert isinstance(finished, Finished)
    assert finished.replies[0].startswith("message 554 5.6.3 ")
    assert not any(command.startswith("MAIL") for command in mx.commands)
