"""The life of a session: what fits the host, when it is idle, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from relay.smtp.options import SessionLimits, Timeouts
from relay.smtp.session import Session
from tests.smtp.build import message, run, session_with
from tests.support.driver import Broken, Finished, Recorder
from tests.support.mx import EXTENSIONS, HANG_UP, STALL, Mx

TAKEN = "message 250 2.0.0 taken"


@pytest.mark.parametrize(
    ("extensions", "fields", "reply"),
    [
        pytest.param(
            ("SIZE 100",),
            {"size": 101},
            "552 5.3.4 101 octets, and the host takes no more than 100",
            id="too big",
        ),
        pytest.param(
            ("PIPELINING",),
            {"eight_bit": True},
            "554 5.6.3 the message needs 8BITMIME, which the host does not offer",
            id="eight bits",
        ),
        pytest.param(
            ("8BITMIME",),
            {"smtputf8": True},
            "553 5.6.7 the message needs SMTPUTF8, which the host does not offer",
            id="UTF-8",
        ),
        pytest.param(
            EXTENSIONS,
            {"sender": "a@b>\r\nDATA\r\n"},
            "553 5.1.7 the sender's address cannot be sent",
            id="a sender with a line end",
        ),
    ],
)
async def test_what_does_not_fit_the_host_is_not_sent(
    extensions: tuple[str, ...], fields: dict[str, Any], reply: str
) -> None:
    unfit = message(1, "a@s.example", "b@s.example", **fields)
    async with Mx(extensions=extensions) as mx:
        recorder = Recorder([unfit, message(2)])
        await run(mx, recorder, 2)
    assert recorder.heard == [Finished(1, (f"message {reply}",) * 2), Finished(2, (TAKEN,))]
    assert len([command for command in mx.commands if command.startswith("MAIL")]) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_what_was_asked_for_is_passed_on_to_a_host_that_knows_it(known: bool) -> None:
    fields = {"ret": "FULL", "envid": "x", "mt_priority": 4, "notify": (("NEVER", ""), ("", "u;v"))}
    asking = message(1, "a@s.example", "b@s.example", **fields)
    extensions = (*EXTENSIONS, "DSN", "MT-PRIORITY MIXER") if known else EXTENSIONS
    async with Mx(extensions=extensions) as mx:
        await run(mx, Recorder([asking]), 1)
    mail, first, second = (one for one in mx.commands if one.startswith(("MAIL", "RCPT")))
    assert mail.endswith(" MT-PRIORITY=4 RET=FULL ENVID=x") is known
    assert first == "RCPT TO:<a@s.example>" + " NOTIFY=NEVER" * known
    assert second == "RCPT TO:<b@s.example>" + " ORCPT=u;v" * known


async def test_what_does_not_fit_may_lie_behind_what_does() -> None:
    async with Mx(extensions=("PIPELINING", "SIZE 100")) as mx:
        recorder = Recorder([message(1), message(2, size=101), message(3)])
        await run(mx, recorder, 3)
    assert sorted(str(event.token) for event in recorder.heard) == ["1", "2", "3"]
    assert len(mx.taken) == 2


async def test_an_address_that_would_be_a_command_bounces_alone() -> None:
    bad = "x@s.example>\r\nRCPT TO:<victim@s.example"
    async with Mx() as mx:
        await run(mx, recorder := Recorder([message(1, "a@s.example", bad)]), 1)
    assert recorder.heard == [
        Finished(
            1,
            (
                "recipient 451 4.1.3 another recipient's address cannot be sent",
                "recipient 553 5.1.3 the address cannot be sent",
            ),
        )
    ]
    assert mx.commands == ["EHLO relay.example", "QUIT"]


async def test_the_parameters_are_those_the_host_announced() -> None:
    both = message(1, "ä@s.example", eight_bit=True, smtputf8=True, size=30)
    async with Mx() as mx:
        await run(mx, Recorder([both, message(2, sender="", size=30)]), 2)
    assert mx.commands[1:3] == [
        "MAIL FROM:<from@r.example> SIZE=30 BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<ä@s.example>",
    ]
    assert "MAIL FROM:<> SIZE=30" in mx.commands


@pytest.mark.parametrize(
    ("extensions", "limits", "messages"),
    [
        pytest.param(EXTENSIONS, SessionLimits(messages=2), 2, id="ours"),
        pytest.param((*EXTENSIONS, "LIMITS MAILMAX=3"), SessionLimits(), 3, id="the host's"),
        pytest.param(EXTENSIONS, SessionLimits(age=0), 0, id="its age"),
    ],
)
async def test_a_worn_session_ends_by_itself(
    extensions: tuple[str, ...], limits: SessionLimits, messages: int
) -> None:
    async with Mx(extensions=extensions) as mx:
        recorder = Recorder(message(n) for n in range(10))
        session = await session_with(mx, limits=limits)
        session.start(recorder)
        await recorder.until_closed()
        await mx.until(lambda mx: mx.open == 0)
    assert len(mx.taken) == len(recorder.heard) == messages
    assert mx.commands[-1] == "QUIT"


async def test_an_idle_session_waits_for_poke() -> None:
    async with Mx() as mx:
        recorder = Recorder([message(1)])
        session = await session_with(mx)
        assert not session.idle
        session.start(recorder)
        assert not session.idle
        await recorder.until_heard(1)
        assert session.idle
        recorder.waiting.append(message(2))
        session.poke()
        session.poke()
        assert not session.idle
        await recorder.until_heard(2)
        session.quit()
        session.poke()
        assert not session.idle
        await recorder.until_closed()
    assert len(mx.taken) == 2


async def test_a_session_idle_for_too_long_quits() -> None:
    async with Mx() as mx:
        recorder = Recorder([message(1)])
        session = await session_with(mx, limits=SessionLimits(idle=0.1))
        session.start(recorder)
        await recorder.until_closed()
    assert mx.commands[-1] == "QUIT"
    assert recorder.heard == [Finished(1, (TAKEN,))]


async def test_the_host_may_close_an_idle_session() -> None:
    async with Mx({"NOOP": HANG_UP}) as mx:
        recorder = Recorder()
        session = await session_with(mx)
        session.start(recorder)
        session._transport.write(b"NOOP\r\n")
        await recorder.until_closed()
    assert recorder.heard == []
    assert not session.idle


async def test_a_session_that_died_before_its_start_is_closed_all_the_same() -> None:
    async with Mx({"NOOP": HANG_UP}) as mx:
        session = await session_with(mx)
        session._transport.write(b"NOOP\r\n")
        await mx.until(lambda mx: mx.open == 0)
        while not session._over:  # noqa: ASYNC110  there is nobody yet whom it could tell
            await asyncio.sleep(0)
        recorder = Recorder([message(1)])
        session.start(recorder)
        await recorder.until_closed()
    assert recorder.heard == []
    assert recorder.closed_times == 1


async def test_quit_lets_what_is_in_hand_come_to_its_end() -> None:
    async with Mx() as mx:
        recorder = Recorder([message(1), message(2), message(3)])
        recorder.react = Session.quit
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
    # The second went along with the first one's final dot, the third was not begun.
    assert recorder.heard == [Finished(1, (TAKEN,)), Finished(2, (TAKEN,))]
    assert mx.commands[-1] == "QUIT"
    assert recorder.closed_times == 1


async def test_quit_does_not_wait_long() -> None:
    async with Mx({"QUIT": STALL}) as mx:
        session = await session_with(mx, timeouts=Timeouts(quit=0.1))
        session.start(recorder := Recorder())
        session.quit()
        session.quit()
        await recorder.until_closed()
    assert recorder.closed_times == 1


async def test_abort_closes_at_once_and_only_once() -> None:
    async with Mx({"MAIL": STALL}) as mx:
        session = await session_with(mx)
        session.start(recorder := Recorder([message(1)]))
        session.abort()
        session.abort()
        session.quit()
        await recorder.until_closed()
        await mx.until(lambda mx: mx.open == 0)
    failure = "host 421 4.4.2 connection lost in phase mail: ended by this side"
    assert recorder.heard == [Broken(1, failure, False, "mail")]
    assert recorder.closed_times == 1


async def test_abort_after_the_final_dot_leaves_the_message_in_doubt() -> None:
    async with Mx({".": STALL}) as mx:
        session = await session_with(mx)
        session.start(recorder := Recorder([message(1)]))
        await mx.until(lambda mx: "." in mx.commands)
        session.abort()
        await recorder.until_closed()
    [event] = recorder.heard
    assert isinstance(event, Broken)
    assert (event.phase, event.in_doubt) == ("dot", True)


async def test_abort_from_within_a_callback_ends_what_is_in_hand() -> None:
    async with Mx() as mx:
        recorder = Recorder([message(1), message(2), message(3)])
        recorder.react = Session.abort
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
    first, second = recorder.heard
    assert first == Finished(1, (TAKEN,))
    assert isinstance(second, Broken)
    assert (second.token, second.in_doubt) == (2, False)
    assert [left.token for left in recorder.waiting] == [3]


async def test_poke_from_within_a_callback_begins_nothing_twice() -> None:
    async with Mx() as mx:
        recorder = Recorder([message(n) for n in range(20)])
        recorder.react = Session.poke
        await run(mx, recorder, 20)
    assert [event.token for event in recorder.heard] == list(range(20))
    assert len(mx.taken) == 20


@pytest.mark.parametrize("method", ["poke", "quit", "abort"])
async def test_a_driver_that_calls_back_while_it_is_asked(method: str) -> None:
    class Reentrant(Recorder):
        def next_transaction(self, session: Session) -> Any:
            getattr(session, method)()
            return super().next_transaction(session)

    async with Mx() as mx:
        recorder = Reentrant([message(1), message(2)])
        session = await session_with(mx, limits=SessionLimits(idle=0.1))
        session.start(recorder)
        await recorder.until_closed()
    tokens = [event.token for event in recorder.heard]
    assert tokens == {"poke": [1, 2], "quit": [1], "abort": [1]}[method]
    assert len(mx.taken) == (0 if method == "abort" else len(tokens))


async def test_one_timer_serves_all_phases_of_a_session() -> None:
    async with Mx() as mx:
        recorder = Recorder(message(n) for n in range(90))
        session = await session_with(mx)
        loop = asyncio.get_running_loop()
        made = 0
        call_at = loop.call_at

        def counted(*arguments: Any, **named: Any) -> asyncio.TimerHandle:
            nonlocal made
            made += 1
            return call_at(*arguments, **named)

        session._deadline._loop = _Counting(loop, counted)  # type: ignore[assignment]
        session.start(recorder)
        await recorder.until_heard(90)
        session.quit()
        await recorder.until_closed()
    assert made <= 5


class _Counting:
    def __init__(self, loop: asyncio.AbstractEventLoop, call_at: Any) -> None:
        self._loop = loop
        self.call_at = call_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)
