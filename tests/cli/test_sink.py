"""The sandbox's catch-all: what it keeps, and for how long."""

from __future__ import annotations

from pathlib import Path

from relay.cli.roles.sink import CatchAll
from relay.mail.envelope import Envelope, Recipient
from relay.submission import Submission


def message(catch_all: CatchAll, *recipients: str, content: bytes = b"Hi\r\n") -> Submission:
    envelope = Envelope("ann@a.example", tuple(map(Recipient, recipients)))
    return Submission(id=catch_all.new_id(), envelope=envelope, content=(b"A: b\r\n\r\n", content))


async def test_a_message_is_kept_with_its_envelope_in_front(tmp_path: Path) -> None:
    catch_all = CatchAll(tmp_path / "sink", keep=10, keep_size=1 << 20)
    accepted = await catch_all.submit(message(catch_all, "b/../x@b.example", "c@b.example"))
    assert not accepted.repeated
    [file] = (tmp_path / "sink").iterdir()
    assert "b_.._x@b.example" in file.name
    assert file.read_bytes() == (
        b"Return-Path: <ann@a.example>\r\nDelivered-To: b/../x@b.example\r\n"
        b"Delivered-To: c@b.example\r\nA: b\r\n\r\nHi\r\n"
    )


async def test_only_the_newest_messages_are_kept(tmp_path: Path) -> None:
    catch_all = CatchAll(tmp_path, keep=2, keep_size=1 << 20)
    for number in range(4):
        await catch_all.submit(message(catch_all, f"r{number}@b.example"))
    assert [file.name.count("r3") + 2 * file.name.count("r2") for file in _kept(tmp_path)] == [2, 1]


async def test_what_is_kept_is_bounded_in_size_also_after_a_restart(tmp_path: Path) -> None:
    for number in range(3):
        catch_all = CatchAll(tmp_path, keep=100, keep_size=2500)
        content = bytes([65 + number]) * 1000 + b"\r\n"
        await catch_all.submit(message(catch_all, "b@b.example", content=content))
    assert [file.read_bytes()[-3:-2] for file in _kept(tmp_path)] == [b"B", b"C"]


def _kept(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.eml"))
