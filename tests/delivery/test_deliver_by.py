"""Messages that are to be delivered by a time: what hosts are told, and what senders hear."""

from __future__ import annotations

import re
import time

import pytest

from relay.feedback.projector import Projector
from relay.feedback.report import DsnOptions
from relay.mail.envelope import Envelope, Recipient
from relay.store.outbox import Outbox
from relay.submission import Submission
from tests.support.desk import Worker
from tests.support.mx import EXTENSIONS, Mx

KNOWING = (*EXTENSIONS, "DELIVERBY 10", "DSN")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def send(worker: Worker, mode: str, seconds: int, *, notify: str = "") -> str:
    id_, by_ms = worker.submitter.new_id(), now_ms() + seconds * 1000
    submission = Submission(
        id=id_,
        envelope=Envelope("me@s.example", (Recipient("u@a.example", notify),)),
        content=(b"Subject: x\r\n\r\nhi\r\n",),
        by_ms=by_ms,
        by_mode=mode,
        expires_at_ms=by_ms if mode.startswith("R") else 0,
    )
    await worker.submitter.submit(submission)
    return id_


async def report(worker: Worker) -> None:
    """Have the DSNs submitted that are due."""
    outbox = Outbox(worker.client, 0, 1)
    projector = Projector(outbox, worker.submitter, "p", DsnOptions(host="relay.example"))
    while await projector.step():
        pass


def routes(server: Mx, home: Mx) -> dict[str, str]:
    return {"a.example": f"127.0.0.1:{server.port}", "s.example": f"127.0.0.1:{home.port}"}


def actions(home: Mx) -> list[tuple[str, str]]:
    """Action and status of each DSN."""
    found = b"".join(one.content for one in home.taken).decode()
    return re.findall(r"Action: (\w+)\r\nStatus: (\S+)", found)


@pytest.mark.parametrize("mode", ["R", "N"])
async def test_the_time_that_is_left_is_passed_on(store_url: str, mode: str) -> None:
    async with (
        Mx(extensions=KNOWING) as server,
        Mx() as home,
        Worker(store_url, routes(server, home)) as worker,
    ):
        await send(worker, mode, 100)
        await worker.until_empty()
        [mail] = [command for command in server.commands if command.startswith("MAIL")]
        found = re.search(r" BY=(\d+);(\w+)", mail)
        assert found
        assert 95 <= int(found[1]) <= 100
        assert found[2] == mode
        await report(worker)
        await worker.until_empty()
        assert actions(home) == []


@pytest.mark.parametrize(
    ("mode", "notify", "knows", "expected"),
    [
        ("N", "", False, [("relayed", "2.0.0")]),
        ("N", "SUCCESS", False, [("relayed", "2.0.0")]),
        ("N", "NEVER", False, []),
        ("NT", "", True, [("relayed", "2.0.0")]),
        ("RT", "", True, [("relayed", "2.0.0")]),
        ("N", "", True, []),
        ("N", "SUCCESS", True, []),
    ],
)
async def test_the_sender_hears_of_relays_that_promise_nothing_and_of_traced_ones(
    store_url: str, mode: str, notify: str, knows: bool, expected: list[tuple[str, str]]
) -> None:
    async with (
        Mx(extensions=KNOWING if knows else EXTENSIONS) as server,
        Mx() as home,
        Worker(store_url, routes(server, home)) as worker,
    ):
        id_ = await send(worker, mode, 100, notify=notify)
        await worker.until_empty()
        assert await worker.fates(id_) == ["delivered"]
        await report(worker)
        await worker.until_empty()
        assert actions(home) == expected


@pytest.mark.parametrize(
    ("extensions", "seconds"),
    [(EXTENSIONS, 100), ((*EXTENSIONS, "DELIVERBY 500"), 100), (KNOWING, 0)],
    ids=["a host that does not know it", "a host that wants more time", "too late"],
)
async def test_what_is_in_time_or_not_at_all_is_returned_where_that_cannot_be(
    store_url: str, extensions: tuple[str, ...], seconds: int
) -> None:
    async with (
        Mx(extensions=extensions) as server,
        Mx() as home,
        Worker(store_url, routes(server, home)) as worker,
    ):
        id_ = await send(worker, "R", seconds)
        await worker.until_empty()
        assert await worker.fates(id_) == ["bounced"]
        assert not server.taken
        await report(worker)
        await worker.until_empty()
        assert actions(home) == [("failed", "5.4.7")]


async def test_what_cannot_even_be_tried_in_time_is_returned(store_url: str) -> None:
    """The site is dead: no attempt finds out that the time is over."""
    async with Mx() as server, Mx() as home:
        there = routes(server, home)
    async with (
        Mx(port=int(there["s.example"].rpartition(":")[2])) as home,
        Worker(store_url, there) as worker,
    ):
        id_ = await send(worker, "R", 100)
        await worker.until(lambda: worker.client.said["park"])
        # As if a minute more than its time were over.
        past = await worker.queue.now() - 61_000
        await worker.queue.set_score(worker.queue.keys.expiry, f"{id_}.0", past)
        await worker.until_empty()
        assert await worker.fates(id_) == ["expired"]
        await report(worker)
        await worker.until(lambda: home.taken)
        assert actions(home) == [("failed", "5.4.7")]


@pytest.mark.parametrize("notify", ["", "NEVER", "FAILURE"])
async def test_the_sender_hears_once_that_it_is_late_and_it_is_tried_on(
    store_url: str, notify: str
) -> None:
    async with (
        Mx({"RCPT": ("451 4.7.1 later", "250 2.1.5 ok")}) as server,
        Mx() as home,
        Worker(store_url, routes(server, home)) as worker,
    ):
        id_ = await send(worker, "N", 100, notify=notify)
        await worker.until(lambda: "RCPT TO:<u@a.example>" in " ".join(server.commands))
        late = await worker.queue.scores(worker.queue.keys.late)
        assert list(late) == ([] if notify == "NEVER" else [f"{id_}.0"])
        if late:
            # As if its time were over.
            await worker.queue.set_score(worker.queue.keys.late, f"{id_}.0", 1)
            await worker.until(lambda: worker.client.said["promote"] > 3)
        for _ in range(3):
            await worker.pump.turn()
            await report(worker)
        expected = [] if notify == "NEVER" else [("delayed", "4.4.7")]
        await worker.until(lambda: len(home.taken) == len(expected))
        assert actions(home) == expected
        assert all(b"451 4.7.1 later" in one.content for one in home.taken)
        await worker.queue.reschedule(f"{id_}.0")
        worker.ring(["0/a.example"])
        await worker.until(lambda: server.taken)
        await worker.until_empty()
        assert await worker.fates(id_) == ["delivered"]
        assert not await worker.queue.scores(worker.queue.keys.late) or notify == "NEVER"


async def test_what_was_late_before_it_came_is_not_told_again(store_url: str) -> None:
    async with (
        Mx(extensions=KNOWING) as server,
        Mx() as home,
        Worker(store_url, routes(server, home)) as worker,
    ):
        await send(worker, "N", -50)
        await worker.until_empty()
        [mail] = [command for command in server.commands if command.startswith("MAIL")]
        assert re.search(r" BY=-5\d;N$", mail)
        await report(worker)
        assert not home.taken
