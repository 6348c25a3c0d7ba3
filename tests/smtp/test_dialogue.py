"""What the host does at each phase, and what the driver hears of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from relay.smtp.options import Timeouts
from tests.smtp.build import message, run, session_with
from tests.support.driver import Broken, Finished, Recorder
from tests.support.mx import EXTENSIONS, HANG_UP, STALL, Answer, Mx

A, B = "a@s.example", "b@s.example"
ONE_BY_ONE = [word for word in EXTENSIONS if word != "PIPELINING"]
TAKEN = "message 250 2.0.0 taken"
#: Short enough to wait for, long enough for a busy machine.
IMPATIENT = Timeouts(mail=0.3, rcpt=0.3, data=0.3, block=0.3, dot=0.3, quit=0.3)


def finished(*replies: str) -> Finished:
    return Finished(1, replies)


def broken(failure: str, phase: str, *, in_doubt: bool = False) -> Broken:
    return Broken(1, failure, in_doubt, phase)


def lost(phase: str, *, in_doubt: bool = False) -> Broken:
    failure = f"host 421 4.4.2 connection lost in phase {phase}: the host closed it"
    return broken(failure, phase, in_doubt=in_doubt)


def silent(phase: str, *, in_doubt: bool = False) -> Broken:
    failure = f"host 421 4.4.2 no answer within 0.3 s in phase {phase}"
    return broken(failure, phase, in_doubt=in_doubt)


WHO = "550 5.1.1 who?"

DIALOGUES = [
    pytest.param({}, finished(TAKEN, TAKEN), id="all taken"),
    pytest.param({"MAIL": "451 4.3.0 later"}, finished(*["message 451 4.3.0 later"] * 2),
                 id="sender deferred"),
    pytest.param({"MAIL": "550 5.7.1 no"}, finished(*["message 550 5.7.1 no"] * 2),
                 id="sender refused"),
    pytest.param({"MAIL": "550 5.7.1 no", "RCPT": "250 ok", "DATA": "354 go"},
                 finished(*["message 550 5.7.1 no"] * 2), id="sender refused, DATA accepted"),
    pytest.param({f"RCPT TO:<{B}>": WHO}, finished(TAKEN, f"recipient {WHO}"), id="one refused"),
    pytest.param({f"RCPT TO:<{A}>": WHO}, finished(f"recipient {WHO}", TAKEN), id="first refused"),
    pytest.param({"RCPT": "451 4.7.1 greylisted"},
                 finished(*["recipient 451 4.7.1 greylisted"] * 2), id="greylisted"),
    pytest.param({"RCPT": WHO, "DATA": "354 go"}, finished(*[f"recipient {WHO}"] * 2),
                 id="all refused, DATA accepted"),
    pytest.param({f"RCPT TO:<{B}>": "452 4.5.3 too many"},
                 finished(TAKEN, "recipient 452 4.5.3 too many"), id="too many recipients"),
    pytest.param({"DATA": "451 4.3.0 later"}, finished(*["message 451 4.3.0 later"] * 2),
                 id="DATA deferred"),
    pytest.param({f"RCPT TO:<{A}>": WHO, "DATA": "554 5.7.1 no"},
                 finished(f"recipient {WHO}", "message 554 5.7.1 no"), id="one and DATA refused"),
    pytest.param({".": "554 5.7.1 spam"}, finished(*["message 554 5.7.1 spam"] * 2),
                 id="content refused"),
    pytest.param({".": "451 4.3.0 full"}, finished(*["message 451 4.3.0 full"] * 2),
                 id="content deferred"),
    pytest.param({".": "250-2.0.0 taken\r\n250 2.0.0 as 1"},
                 finished(*["message 250 2.0.0 taken as 1"] * 2), id="reply of two lines"),
    pytest.param({".": "199 2.0.0 odd"}, finished(*["message 199 2.0.0 odd"] * 2),
                 id="a code that does not exist"),

    pytest.param({"MAIL": "421 4.3.2 bye"}, broken("host 421 4.3.2 bye", "mail"), id="421 at MAIL"),
    pytest.param({"RCPT": "421 4.3.2 bye"}, broken("host 421 4.3.2 bye", "rcpt"), id="421 at RCPT"),
    pytest.param({"DATA": "421 4.3.2 bye"}, broken("host 421 4.3.2 bye", "data"), id="421 at DATA"),
    pytest.param({".": "421 4.3.2 bye"}, broken("host 421 4.3.2 bye", "dot"), id="421 at the dot"),
    pytest.param({"RCPT": WHO, "DATA": "421 4.7.0 go away"}, finished(*[f"recipient {WHO}"] * 2),
                 id="all refused, then 421"),

    pytest.param({"MAIL": HANG_UP}, lost("mail"), id="hangs up at MAIL"),
    pytest.param({"RCPT": HANG_UP}, lost("rcpt"), id="hangs up at RCPT"),
    pytest.param({f"RCPT TO:<{B}>": HANG_UP}, lost("rcpt"), id="hangs up at the second RCPT"),
    pytest.param({"DATA": HANG_UP}, lost("data"), id="hangs up at DATA"),
    pytest.param({".": HANG_UP}, lost("dot", in_doubt=True), id="hangs up at the dot"),
    pytest.param({"RCPT": WHO, "DATA": HANG_UP}, finished(*[f"recipient {WHO}"] * 2),
                 id="all refused, then hangs up"),
    pytest.param({"MAIL": STALL}, silent("mail"), id="silent at MAIL"),
    pytest.param({"RCPT": STALL}, silent("rcpt"), id="silent at RCPT"),
    pytest.param({"DATA": STALL}, silent("data"), id="silent at DATA"),
    pytest.param({".": STALL}, silent("dot", in_doubt=True), id="silent at the dot"),

    pytest.param({"MAIL": "who are you?"},
                 broken("host 421 4.5.0 protocol error: not an SMTP reply: who are you?", "mail"),
                 id="no reply at MAIL"),
    pytest.param({".": "thanks"},
                 broken("host 421 4.5.0 protocol error: not an SMTP reply: thanks", "dot",
                        in_doubt=True), id="no reply at the dot"),
    pytest.param({"DATA": "250 2.0.0 taken"},
                 broken("host 421 4.5.0 protocol error: unexpected reply: 250 2.0.0 taken", "data"),
                 id="DATA answered as if it were the dot"),
    pytest.param({"DATA": "354 go\r\n250 2.0.0 taken"},
                 broken("host 421 4.5.0 protocol error: unexpected reply: 354 go", "content"),
                 id="the dot answered before it was said"),
    pytest.param({"DATA": "354 go\r\n250 2."},
                 broken("host 421 4.5.0 protocol error: unexpected reply: 354 go", "content"),
                 id="half a reply before the dot was said"),
]  # fmt: skip


@pytest.mark.parametrize("extensions", [EXTENSIONS, ONE_BY_ONE], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(("answers", "heard"), DIALOGUES)
async def test_what_the_driver_hears(
    answers: Mapping[str, Answer], heard: Finished | Broken, extensions: list[str]
) -> None:
    async with Mx(answers, extensions) as mx:
        recorder = Recorder([message(1, A, B)])
        await run(mx, recorder, 1, timeouts=IMPATIENT)
    assert recorder.heard == [heard]


@pytest.mark.parametrize("extensions", [EXTENSIONS, ONE_BY_ONE], ids=["pipelined", "one by one"])
@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({"MAIL": ["550 5.7.1 no", "250 ok"]}, id="sender refused"),
        pytest.param({"RCPT": ["550 5.1.1 no", "250 ok"]}, id="recipient refused"),
        pytest.param({"RCPT": ["550 5.1.1 no", "250 ok"], "DATA": "354 go"}, id="lone dot"),
        pytest.param({"DATA": ["451 4.3.0 no", "354 go"]}, id="DATA refused"),
        pytest.param({".": ["554 5.7.1 no", "250 2.0.0 taken"]}, id="content refused"),
    ],
)
async def test_the_session_goes_on_after_a_refusal(
    answers: Mapping[str, Answer], extensions: list[str]
) -> None:
    async with Mx(answers, extensions) as mx:
        recorder = Recorder([message(1), message(2), message(3)])
        await run(mx, recorder, 3)
    assert [event.token for event in recorder.heard] == [1, 2, 3]
    assert recorder.heard[1:] == [Finished(2, (TAKEN,)), Finished(3, (TAKEN,))]
    assert len(mx.taken) == 2
    assert mx.connections == 1


async def test_an_envelope_goes_in_one_write_and_the_next_one_with_the_final_dot() -> None:
    async with Mx() as mx:
        recorder = Recorder([message(1, A, B), message(2)])
        await run(mx, recorder, 2)
    first, ending, last = mx.reads[1:4]
    assert first.startswith(b"MAIL FROM:<from@r.example>")
    assert first.endswith(b"\r\nRCPT TO:<a@s.example>\r\nRCPT TO:<b@s.example>\r\nDATA\r\n")
    assert b"\r\n.\r\nMAIL FROM:" in ending
    assert ending.endswith(b"DATA\r\n")
    assert last.endswith(b"\r\n.\r\n")


async def test_without_pipelining_each_command_waits_for_its_reply() -> None:
    async with Mx(extensions=ONE_BY_ONE) as mx:
        recorder = Recorder([message(1, A, B), message(2)])
        await run(mx, recorder, 2)
    assert all(read.count(b"\r\n") == 1 or read.endswith(b"\r\n.\r\n") for read in mx.reads)


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        pytest.param(HANG_UP, lost("dot", in_doubt=True), id="hangs up"),
        pytest.param("421 4.3.2 bye", broken("host 421 4.3.2 bye", "dot"), id="421"),
    ],
)
async def test_the_envelope_that_went_along_is_never_in_doubt(answer: str, first: Broken) -> None:
    async with Mx({".": answer}) as mx:
        recorder = Recorder([message(1), message(2)])
        await run(mx, recorder, 2)
    assert recorder.heard[0] == first
    second = recorder.heard[1]
    assert isinstance(second, Broken)
    assert (second.token, second.in_doubt) == (2, False)


@pytest.mark.parametrize("said", ["421 4.4.2 idle too long", "250 by the way", "gibberish", "4"])
async def test_talk_to_an_idle_session_ends_it(said: str) -> None:
    async with Mx({".": f"250 2.0.0 taken\r\n{said}"}) as mx:
        recorder = Recorder([message(1)])
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_heard(1)
        recorder.waiting.append(message(2))
        session.poke()
        await recorder.until_closed()
    assert recorder.heard == [finished(TAKEN)]
    assert [left.token for left in recorder.waiting] == [2]
    assert not session.idle


@pytest.mark.parametrize("answers", [{"RCPT": WHO}, {"MAIL": "550 5.7.1 no", "RCPT": "250 ok"}])
async def test_where_no_recipient_was_taken_the_content_is_not_sent(
    answers: dict[str, str],
) -> None:
    async with Mx(answers | {"DATA": "354 go"}) as mx:
        await run(mx, Recorder([message(1)]), 1)
    assert b".\r\n" in mx.reads
    assert not any(b"Subject:" in read for read in mx.reads)


@pytest.mark.parametrize("extra", ["250 by the way", "250 by"], ids=["whole", "half"])
async def test_a_reply_too_many_does_not_answer_the_next_command(extra: str) -> None:
    async with Mx({".": f"250 2.0.0 taken\r\n{extra}"}, ONE_BY_ONE) as mx:
        recorder = Recorder([message(1), message(2)])
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
    assert recorder.heard == [finished(TAKEN)]
    assert [left.token for left in recorder.waiting] == [2]
    assert len(mx.taken) == 1


async def test_pipelined_a_reply_too_many_delivers_nothing() -> None:
    async with Mx({".": "250 2.0.0 taken\r\n250 by the way"}) as mx:
        recorder = Recorder([message(1), message(2)])
        session = await session_with(mx)
        session.start(recorder)
        await recorder.until_closed()
    first, second = recorder.heard
    assert first == finished(TAKEN)
    assert isinstance(second, Broken)
    assert (second.token, second.in_doubt) == (2, False)
