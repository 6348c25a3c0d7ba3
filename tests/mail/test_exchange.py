from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.mail.exchange import Exchange, RecipientReply, Step
from relay.mail.outcome import Scope
from relay.mail.reply import Reply

OK, GO, NO = Reply(250), Reply(354), Reply(550, "5.1.1", "no")


def test_the_steps_of_a_pipelined_exchange() -> None:
    exchange = Exchange(2, pipelined=True)
    phases = []
    steps = []
    for reply in (OK, OK, NO, GO):
        phases.append(exchange.phase)
        steps.append(exchange.take(reply))
    assert phases == ["mail", "rcpt", "rcpt", "data"]
    assert steps == [Step.WAIT, Step.WAIT, Step.WAIT, Step.CONTENT]
    assert exchange.phase == "content"
    exchange.dotted = True
    assert exchange.phase == "dot"
    assert exchange.take(OK) is Step.DONE
    assert not exchange.left_open
    assert exchange.results() == [
        RecipientReply(OK, Scope.MESSAGE),
        RecipientReply(NO, Scope.RECIPIENT),
    ]


def test_the_steps_of_an_exchange_one_by_one_after_an_rset() -> None:
    exchange = Exchange(1, pipelined=False, reset=True)
    assert exchange.phase == "reset"
    steps = [exchange.take(reply) for reply in (OK, OK, OK, GO, OK)]
    assert steps == [Step.COMMAND, Step.COMMAND, Step.COMMAND, Step.CONTENT, Step.DONE]


def test_an_rset_that_is_refused_makes_no_sense() -> None:
    exchange = Exchange(1, pipelined=True, reset=True)
    assert exchange.take(NO) is Step.NONSENSE
    assert exchange.phase == "reset"
    assert not exchange.known


def test_an_envelope_that_was_not_used_up_is_left_open() -> None:
    for pipelined, replies in ((True, (OK, NO, NO)), (False, (OK, NO)), (True, (OK, OK, NO))):
        exchange = Exchange(1, pipelined=pipelined)
        steps = [exchange.take(reply) for reply in replies]
        assert steps[-1] is Step.DONE
        assert exchange.left_open


REPLIES = st.sampled_from([OK, Reply(251), GO, Reply(199), Reply(451), NO, Reply(999)])


@given(st.integers(1, 4), st.booleans(), st.booleans(), st.lists(REPLIES, max_size=12))
def test_whatever_is_answered_each_recipient_has_one_reply_at_the_end(
    recipients: int, pipelined: bool, reset: bool, replies: list[Reply]
) -> None:
    exchange = Exchange(recipients, pipelined=pipelined, reset=reset)
    steps = []
    for reply in replies:
        steps.append(exchange.take(reply))
        if steps[-1] in (Step.CONTENT, Step.LONE_DOT):
            exchange.dotted = True
        if steps[-1] in (Step.DONE, Step.NONSENSE):
            break
    if exchange.known or (steps and steps[-1] is Step.DONE):
        assert len(exchange.results()) == recipients
    delivered = any(
        answer.reply.positive
        for answer in (exchange.results() if steps and steps[-1] is Step.DONE else [])
    )
    # Only the reply to a final dot that followed content says that a message was taken.
    assert not delivered or (Step.CONTENT in steps and replies[len(steps) - 1].positive)
