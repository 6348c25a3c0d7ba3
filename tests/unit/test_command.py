import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.mail import command as c
from relay.mail.command import Command, Refused, parse_command
from relay.mail.wishes import Wishes


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO client.example", c.Ehlo("client.example")),
        (b"ehlo [192.0.2.1] ", c.Ehlo("[192.0.2.1]")),
        (b"EHLO [IPv6:2001:db8::1]", c.Ehlo("[IPv6:2001:db8::1]")),
        (b"EHLO my_host", c.Ehlo("my_host")),
        (b"HELO client", c.Helo("client")),
        (b"MAIL FROM:<a@d.example>", c.Mail("a@d.example")),
        (b"mail from:<>", c.Mail("")),
        (b"MAIL FROM: <a@d.example> ", c.Mail("a@d.example")),
        (b"MAIL FROM:<a@d.example> SIZE=1000", c.Mail("a@d.example", Wishes(size=1000))),
        (
            b"MAIL FROM:<a@d.example> body=8bitmime size=7",
            c.Mail("a@d.example", Wishes(size=7, eight_bit=True)),
        ),
        (b"MAIL FROM:<a@d.example> BODY=7BIT", c.Mail("a@d.example", Wishes())),
        (
            b'MAIL FROM:<"a> SIZE=1"@d.example> SIZE=2',
            c.Mail('"a> SIZE=1"@d.example', Wishes(size=2)),
        ),
        (b"RCPT TO:<b@d.example>", c.Rcpt("b@d.example")),
        (b"rcpt to:<postmaster>", c.Rcpt("postmaster")),
        (b"DATA", c.Data()),
        (b"data  ", c.Data()),
        (b"RSET", c.Rset()),
        (b"NOOP", c.Noop()),
        (b"NOOP anything", c.Noop()),
        (b"VRFY somebody", c.Vrfy()),
        (b"HELP", c.Help()),
        (b"HELP MAIL", c.Help()),
        (b"QUIT", c.Quit()),
        (b"StartTLS", c.StartTls()),
    ],
    ids=repr,
)
def test_a_command_is_read(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"", "500 5.5.2"),
        (b" NOOP", "500 5.5.2"),
        (b"FOO", "500 5.5.2"),
        (b"NOOPE", "500 5.5.2"),
        (b"DATAX", "500 5.5.2"),
        (b"QUITE so", "500 5.5.2"),
        (b"\xff\xfe\x00", "500 5.5.2"),
        (b"EHLO", "501 5.5.4"),
        (b"EHLO a b", "501 5.5.4"),
        (b"EHLO a\rb", "501 5.5.4"),
        (b"EHLO a(b)", "501 5.5.4"),
        (b"HELO " + b"x" * 256, "501 5.5.4"),
        (b"DATA now", "501 5.5.4"),
        (b"RSET\t", "500 5.5.2"),
        (b"VRFY", "501 5.5.4"),
        (b"NOOP a\x00b", "501 5.5.4"),
        (b"STARTTLS now", "501 5.5.4"),
        (b"NOOP " + b"x" * 600, "500 5.5.2"),
        (b"EXPN list", "502 5.5.1"),
        (b"MAIL", "501 5.1.7"),
        (b"MAIL FROM <a@d.example>", "501 5.1.7"),
        (b"MAIL FROM:a@d.example", "501 5.1.7"),
        (b"MAIL TO:<a@d.example>", "501 5.1.7"),
        (b"MAIL FROM:<postmaster>", "501 5.1.7"),
        (b"MAIL FROM:<a\rb@d.example>", "501 5.1.7"),
        (b"MAIL FROM:<a@d.example>x", "501 5.5.4"),
        (b"MAIL FROM:<a@d.example> SIZE", "501 5.5.4"),
        (b"MAIL FROM:<a@d.example> SIZE=x", "501 5.5.4"),
        (b"MAIL FROM:<a@d.example> SIZE=-1", "501 5.5.4"),
        (b"MAIL FROM:<a@d.example> SIZE=" + b"9" * 21, "501 5.5.4"),
        (b"MAIL FROM:<a@d.example> SIZE=1 size=1", "501 5.5.4"),
        (b"MAIL FROM:<a@d.example> BODY=7BIT=8BITMIME", "501 5.5.4"),
        ("MAIL FROM:<ü@d.example>".encode(), "553 5.6.7"),
        (b"RCPT TO:<>", "501 5.1.3"),
        (b"RCPT FROM:<b@d.example>", "501 5.1.3"),
        (b"RCPT TO:<b@d.example> x y= z", "501 5.5.4"),
    ],
    ids=repr,
)
def test_a_line_that_is_no_command_has_its_reply(line: bytes, reply: str) -> None:
    command = parse_command(line)
    assert isinstance(command, Refused)
    assert str(command.reply).startswith(reply)
    assert not command.fatal


@pytest.mark.parametrize("verb", [b"GET", b"POST", b"CONNECT", b"OPTIONS", b"put"])
def test_http_ends_the_session(verb: bytes) -> None:
    command = parse_command(verb + b" / HTTP/1.1")
    assert isinstance(command, Refused)
    assert command.fatal
    assert command.reply.code == 554


def test_a_long_path_has_more_room_than_other_commands() -> None:
    line = b"MAIL FROM:<a@d.example>" + b" " * 1000 + b"SIZE=5"
    assert parse_command(line) == c.Mail("a@d.example", Wishes(size=5))


@given(
    st.sampled_from([b"MAIL FROM:<", b"RCPT TO:<", b"EHLO ", b"NOOP", b""]), st.binary(max_size=60)
)
def test_any_line_is_a_command_or_refused(begin: bytes, rest: bytes) -> None:
    command = parse_command(begin + rest)
    if isinstance(command, Refused):
        assert command.reply.code >= 500
