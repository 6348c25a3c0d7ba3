import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.identity.principal import NETWORK
from relay.mail import command as c
from relay.mail.events import Close
from relay.mail.receiver import Receiver
from relay.mail.reply import Reply
from relay.mail.sequence import TRANSITIONS, State
from relay.mail.transaction import MessageReceived, Rights
from tests.support.smuggling import VARIANTS, smuggling
from tests.support.talk import OPTIONS, Talk

MESSAGE = (
    b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
)


def greeted(*, rights: Rights | None = NETWORK, offer_tls: bool = False) -> Talk:
    talk = Talk(rights=rights, offer_tls=offer_tls)
    talk.say(b"EHLO client.example\r\n")
    return talk


def test_ehlo_announces_what_works() -> None:
    talk = greeted()
    assert talk.output == (
        b"250-relay.example\r\n250-PIPELINING\r\n250-SIZE 10000\r\n250-8BITMIME\r\n"
        b"250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
    )
    assert b"250-STARTTLS\r\n" in greeted(offer_tls=True).output


def test_a_message_is_received_with_its_envelope() -> None:
    talk = greeted()
    replies = talk.say(
        b"MAIL FROM:<A@D.Example> BODY=8BITMIME SIZE=20\r\n"
        b"RCPT TO:<b@D.example>\r\nRCPT TO:<postmaster>\r\nDATA\r\n..\xe9\r\n.\r\nQUIT\r\n"
    )
    assert replies == ["250 2.1.0", "250 2.1.5", "250 2.1.5", "354 End", "250 2.0.0", "221 2.0.0"]
    assert b"Ok: queued as id1\r\n" in talk.output
    [message] = talk.messages
    assert message.envelope.sender == "A@d.example"
    recipients = [recipient.address for recipient in message.envelope.recipients]
    assert recipients == ["b@d.example", "postmaster@relay.example"]
    assert message.envelope.eight_bit
    assert (message.chunks, message.size) == ((b".\xe9\r\n",), 4)
    assert talk.closed


#: A line that brings a session from READY to the state, and one of each command to say there.
TO_STATE = {
    State.START: None,
    State.READY: b"",
    State.SENDER: b"MAIL FROM:<a@d.example>\r\n",
    State.RECIPIENTS: b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\n",
}
LINES: dict[type[c.Command], bytes] = {
    c.Ehlo: b"EHLO client.example",
    c.Helo: b"HELO client.example",
    c.Mail: b"MAIL FROM:<a@d.example>",
    c.Rcpt: b"RCPT TO:<c@d.example>",
    c.Data: b"DATA",
    c.Rset: b"RSET",
    c.Noop: b"NOOP",
    c.Vrfy: b"VRFY a",
    c.Help: b"HELP",
    c.Quit: b"QUIT",
    c.StartTls: b"STARTTLS",
    c.Refused: b"FOO",
}


@pytest.mark.parametrize("state", TO_STATE, ids=lambda state: state.name)
@pytest.mark.parametrize("kind", LINES, ids=lambda kind: kind.__name__)
def test_each_command_leads_where_the_table_says(state: State, kind: type[c.Command]) -> None:
    talk = Talk(offer_tls=True)
    way = TO_STATE[state]
    if way is not None:
        talk.say(b"EHLO client.example\r\n" + way)
    assert talk.receiver.state is state
    [reply] = talk.say(LINES[kind] + b"\r\n")
    target = TRANSITIONS[state].get(kind)
    if target is None:
        assert reply[:3] in ("500", "503", "554")
        assert talk.receiver.state is state
    else:
        assert reply[0] in "23"
        assert talk.receiver.state is target


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"MAIL FROM:<a@d.example> SIZE=10001", "552 5.3.4"),
        (b"MAIL FROM:<a@d.example> SIZE=10000", "250 2.1.0"),
        (b"VRFY b@d.example", "252 2.5.2"),
        (b"STARTTLS", "502 5.5.1"),
        (b"HELP", "214 2.0.0"),
    ],
)
def test_between_transactions_commands_have_these_replies(line: bytes, reply: str) -> None:
    assert greeted().say(line + b"\r\n") == [reply]


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        (b"<b@d.example>", "250 2.1.5"),
        (b"<nobody@d.example>", "550 5.1.1"),
        (b"<b@[192.0.2.1]>", "550 5.1.2"),
        (b"<b@d@e.example>", "501 5.1.3"),
        (b"<b%d.example@e.example>", "250 2.1.5"),
    ],
)
def test_recipients_are_taken_or_refused_each_by_itself(recipient: bytes, reply: str) -> None:
    talk = greeted()
    assert talk.say(b"MAIL FROM:<>\r\nRCPT TO:" + recipient + b"\r\n") == ["250 2.1.0", reply]


def test_a_recipient_said_twice_is_sent_to_once() -> None:
    talk = greeted()
    recipients = b"".join(b"RCPT TO:<b@%b>\r\n" % d for d in [b"d.example", b"D.EXAMPLE"] * 3)
    replies = talk.say(b"MAIL FROM:<>\r\n" + recipients + b"DATA\r\n.\r\n")
    assert replies[1:7] == ["250 2.1.5"] * 6
    assert len(talk.messages[0].envelope.recipients) == 1


def test_beyond_the_most_recipients_the_others_are_to_be_sent_later() -> None:
    talk = greeted()
    recipients = b"".join(b"RCPT TO:<b%d@d.example>\r\n" % n for n in range(5))
    replies = talk.say(b"MAIL FROM:<>\r\n" + recipients + b"DATA\r\n.\r\n")
    assert replies[1:6] == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2
    assert len(talk.messages[0].envelope.recipients) == 3


def test_a_client_that_may_not_relay_is_refused_every_recipient() -> None:
    talk = greeted(rights=None)
    for recipient in (b"b@d.example", b"postmaster", b"b%d.example@relay.example"):
        replies = talk.say(b"MAIL FROM:<a@relay.example>\r\nRCPT TO:<" + recipient + b">\r\n")
        assert replies[-1] == "554 5.7.1"
        talk.say(b"RSET\r\n")
    assert talk.messages == []


def test_data_without_a_recipient_is_refused() -> None:
    talk = greeted()
    assert talk.say(b"MAIL FROM:<>\r\nRCPT TO:<nobody@d.example>\r\nDATA\r\n")[-1] == "554 5.5.1"
    assert not talk.closed


def test_content_behind_a_refused_data_is_never_taken_for_commands() -> None:
    talk = greeted()
    replies = talk.say(b"MAIL FROM:<>\r\nRCPT TO:<nobody@d.example>\r\nDATA\r\n" + MESSAGE)
    assert replies[-2:] == ["554 5.5.1", "554 5.5.0"]
    assert talk.closed
    assert talk.messages == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_smuggled_message_is_refused_with_the_one_that_holds_it(variant: str) -> None:
    talk = greeted()
    talk.say(b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n")
    [reply] = talk.say(smuggling(VARIANTS[variant]))
    assert reply in ("550 5.6.11", "550 5.6.0")
    assert talk.messages == []
    assert talk.say(b"NOOP\r\n") == ["250 2.0.0"]


def test_a_message_too_large_is_read_to_its_end_and_refused() -> None:
    talk = greeted()
    talk.say(b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n")
    for _ in range(20):
        assert talk.say(b"x" * 998 + b"\r\n") == []
    assert talk.say(b".\r\n" + MESSAGE)[0] == "552 5.3.4"
    assert len(talk.messages) == 1


def test_a_loop_is_broken() -> None:
    talk = greeted()
    talk.say(b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n")
    assert talk.say(b"Received: x\r\n" * 51 + b"\r\n.\r\n") == ["554 5.4.6"]
    talk.say(b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n")
    assert talk.say(b"Received: x\r\n" * 50 + b"\r\n.\r\n") == ["250 2.0.0"]


def test_too_many_errors_end_the_session() -> None:
    talk = greeted()
    assert talk.say(b"FOO\r\n" * 9) == ["500 5.5.2"] * 5 + ["421 4.7.0"]
    assert talk.closed
    assert talk.say(b"NOOP\r\n") == []


def test_a_message_clears_the_errors() -> None:
    talk = greeted()
    for _ in range(4):
        talk.say(b"FOO\r\n" * 4)
        assert talk.say(MESSAGE)[-1] == "250 2.0.0"
    assert not talk.closed


def test_too_many_commands_without_a_message_end_the_session() -> None:
    talk = greeted()
    # EHLO was one; as many recipients as a message may have are not held against a client.
    most = OPTIONS.commands + OPTIONS.recipients
    assert talk.say(b"NOOP\r\n" * 20) == ["250 2.0.0"] * most + ["421 4.7.0"]
    assert talk.closed


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nMAIL FROM:<>\r\n", "554 5.5.0", id="HTTP"),
        pytest.param(b"NOOP\nMAIL FROM:<>\r\n", "554 5.5.2", id="bare LF"),
        pytest.param(b"\n", "554 5.5.2", id="LF alone"),
        pytest.param(b"NOOP " + b"x" * 3000, "500 5.5.2", id="endless line"),
        pytest.param(b"NOOP " + b"x" * 3000 + b"\r\nNOOP\r\n", "500 5.5.2", id="line too long"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7, 100_000])
def test_what_is_no_smtp_ends_the_session(octets: bytes, reply: str, pieces: int) -> None:
    talk, replies = Talk(), []
    for at in range(0, len(octets), pieces):
        replies += talk.say(octets[at : at + pieces])
    assert replies == [reply]
    assert talk.closed


def test_nothing_behind_starttls_is_obeyed_and_all_before_it_forgotten() -> None:
    talk = greeted(offer_tls=True)
    assert talk.say(b"STARTTLS\r\nNOOP\r\n" + MESSAGE) == ["220 2.0.0"]
    assert talk.starts_tls
    assert talk.say(MESSAGE) == []
    talk.receiver.secured()
    assert talk.receiver.pending == 0
    assert talk.say(b"MAIL FROM:<>\r\n") == ["503 5.5.1"]
    talk.say(b"EHLO client.example\r\n")
    assert talk.output.count(b"STARTTLS") == 1
    assert talk.say(b"STARTTLS\r\n") == ["502 5.5.1"]
    assert talk.say(MESSAGE)[-1] == "250 2.0.0"


def test_nothing_behind_a_message_is_looked_at_until_it_is_answered() -> None:
    receiver = Receiver(OPTIONS, rights=NETWORK)
    event = receiver.receive(b"HELO client.example\r\n" + MESSAGE + b"NOOP\r\n" + MESSAGE)
    assert isinstance(event, MessageReceived)
    assert receiver.output().count(b"\r\n") == 4
    assert receiver.receive(b"QUIT\r\n") is None
    assert receiver.output() == b""
    event = receiver.refused(Reply(451, "4.3.0", "Later"))
    assert isinstance(event, MessageReceived)
    lines = receiver.output().splitlines()
    assert [line[:3] for line in lines] == [b"451", b"250", b"250", b"250", b"354"]
    assert isinstance(receiver.accepted("id"), Close)
    assert receiver.output() == b"250 2.0.0 Ok: queued as id\r\n221 2.0.0 Bye\r\n"


def test_every_refusal_is_told() -> None:
    talk = greeted()
    talk.say(b"FOO\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@d.example>\r\n")
    assert [reply.code for reply in talk.refusals] == [500, 550]


# Refused DATA is left out: what stands behind it ends the session only if it came too early.
PARTS = st.sampled_from(
    [
        MESSAGE,
        MESSAGE,
        b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n..a\r\n..\r\nb\nc\r\n.\r\n",
        b"MAIL FROM:<a@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n.\r\n",
        b"MAIL FROM:<a@d.example>\r\nRCPT TO:<nobody@d.example>\r\nRSET\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"FOO\rBAR\r\n",
        b"NOOP\n",
        b"GET / HTTP/1.1\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
        b"x" * 2100,
    ]
)


@given(st.lists(PARTS, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_any_split_of_a_session_gives_the_same(parts: list[bytes], cuts: list[int]) -> None:
    octets = b"EHLO client.example\r\n" + b"".join(parts)
    whole, split = Talk(offer_tls=True), Talk(offer_tls=True)
    whole.say(octets)
    at = turn = 0
    while at < len(octets):
        split.say(octets[at : at + cuts[turn % len(cuts)]])
        at, turn = at + cuts[turn % len(cuts)], turn + 1
    assert split.output == whole.output
    assert split.contents == whole.contents
    assert (split.closed, split.starts_tls) == (whole.closed, whole.starts_tls)


@given(st.binary(max_size=300))
def test_no_octets_bring_the_receiver_out_of_step(octets: bytes) -> None:
    talk = Talk(offer_tls=True)
    talk.say(octets)
    assert all(reply[:3].isdigit() for reply in talk.output.decode().splitlines())
