"""What is fuzzed: each target takes any octets, and fails where something does not hold of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from email import policy
from email.parser import BytesParser
from typing import Any

from relay.errors import UnreadableRecord
from relay.lookup import wire
from relay.lookup.wire import Malformed
from relay.mail import answers
from relay.mail import command as commands
from relay.mail.address import parse_mailbox
from relay.mail.command import parse_command
from relay.mail.content import END, ContentReader
from relay.mail.dsn import Action, Report, Reported, dsn
from relay.mail.replies import MOST_LINE, MOST_LINES, MOST_OCTETS, MOST_TEXT, ReplyParser
from relay.mail.transparency import DotStuffer, stuffed
from relay.store import codec
from relay.store.replies import reply_in
from tests.support.talk import OPTIONS, Talk

#: Octets of one input at most.
LONGEST = 4096
_ASKED = {kind: wire.question("example.test", kind) for kind in (wire.A, wire.AAAA, wire.MX)}
#: Most that is put in front of a long line: what a receiver keeps of one is bounded.
_KEPT = OPTIONS.message_size + 2 * LONGEST


def receiver(octets: bytes) -> None:
    """A session: any split of it gives the same, its replies are replies, what it keeps is bounded.

    The first octet says how it is cut.
    """
    cut, session = octets[:1], b"EHLO client.example\r\n" + octets[1:]
    whole, split = Talk(offer_tls=True), Talk(offer_tls=True)
    whole.say(session)
    for piece in _pieces(cut, session):
        split.say(piece)
        assert split.receiver.kept <= _KEPT
    if answers.OUT_OF_STEP in (*whole.refusals, *split.refusals):
        # Whether content stands behind a refused DATA too early depends on the split, by intent.
        count = min(len(whole.contents), len(split.contents))
        assert split.contents[:count] == whole.contents[:count]
    else:
        assert split.output == whole.output
        assert split.contents == whole.contents
        assert (split.closed, split.starts_tls) == (whole.closed, whole.starts_tls)
    assert split.output.isascii()
    assert all(line[:3].isdigit() for line in split.output.decode().splitlines())
    for content in split.contents:
        assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
        assert b"\0" not in content
    for message in split.messages:
        for address in (message.envelope.sender, *(r.address for r in message.envelope.recipients)):
            assert address == "" or _is_canonical(address), address


def command(octets: bytes) -> None:
    """One line: a command whose address stays as it is when it is read again, or a refusal."""
    found = parse_command(octets)
    if isinstance(found, commands.Refused):
        assert found.reply.code >= 500
        assert found.reply.wire().count(b"\r\n") == 1
    elif isinstance(found, commands.Mail) and found.sender:
        again = parse_command(f"MAIL FROM:<{found.sender}> SMTPUTF8".encode())
        assert isinstance(again, commands.Mail)
        assert again.sender == found.sender
        assert _is_canonical(found.sender)
    elif isinstance(found, commands.Rcpt):
        again = parse_command(f"RCPT TO:<{found.address}>".encode())
        assert isinstance(again, commands.Rcpt)
        assert again.address == found.address
    elif isinstance(found, commands.Ehlo | commands.Helo):
        assert found.name.isprintable()
        assert " " not in found.name


def content(octets: bytes) -> None:
    """Content is stuffed and unstuffed to itself, however it is cut on the way."""
    body = octets[1:]
    sent = stuffed(body)
    stuffer = DotStuffer()
    assert b"".join([*map(stuffer.feed, _pieces(octets[:1], body)), stuffer.end()]) == sent
    assert (b"\r\n" + sent).count(END) == 1
    reader = ContentReader(2 * LONGEST)
    ends = [reader.feed(piece) for piece in _pieces(octets[:1], sent)]
    assert ends[-1] >= 0
    assert all(end < 0 for end in ends[:-1])
    if reader.refusal() is None:
        came = b"".join(reader.chunks())
        assert came in (body, body + b"\r\n")
        assert reader.size == len(came)


def replies(octets: bytes) -> None:
    """Replies of a remote host: any split gives the same, and none is larger than may be kept."""
    whole, split = ReplyParser(), ReplyParser()
    read = whole.feed(octets[1:])
    parts = [reply for piece in _pieces(octets[:1], octets[1:]) for reply in split.feed(piece)]
    if not whole.fault:
        assert parts == read
    # A line too long is found out while it comes or when it has come; nothing is read behind it.
    assert parts[: len(read)] == read[: len(parts)]
    assert bool(split.fault) == bool(whole.fault)
    assert split.fault.isprintable()
    assert len(split._rest) <= MOST_LINE
    assert len(split._texts) <= MOST_LINES + 1
    assert split._octets <= MOST_OCTETS + MOST_LINE
    for reply in parts:
        assert 0 <= reply.code <= 999
        assert reply.text.isprintable()
        assert len(reply.text) <= MOST_TEXT


def dns_answer(octets: bytes) -> None:
    """What a name server, or a forger, sent: records that can be used, or Malformed."""
    kind = (wire.A, wire.AAAA, wire.MX)[octets[0] % 3] if octets else wire.MX
    asked = _ASKED[kind]
    flags, counts, rest = octets[1:3], octets[3:7], octets[7:]
    header = b"\0\7" + (0x8180 | int.from_bytes(flags) & 0x078F).to_bytes(2) + b"\0\1"
    counts = bytes(octet % 8 for octet in counts.ljust(4, b"\0"))
    answer = header + bytes((0, counts[0], 0, counts[1], 0, 0)) + asked.wire + rest
    assert wire.answers(answer, 7, asked)
    wire.answers(octets, 7, asked)
    try:
        found = wire.read(answer, asked)
    except Malformed:
        return
    assert found.ttl >= 0
    assert found.negative_ttl is None or found.negative_ttl >= 0
    for record in found.records:
        assert isinstance(record, tuple) == (kind == wire.MX)


def stored(octets: bytes) -> None:
    """What lies in the store: read, or UnreadableRecord, and read again as it was written."""
    _both(codec.decode_delivery, codec.encode_delivery, octets)
    _both(codec.decode_attempt, codec.encode_attempt, octets)
    _both(codec.decode_record, codec.encode_record, octets)
    for read in (codec.decode_stored, _outcome):
        with suppress(UnreadableRecord):
            read(octets)
    with suppress(UnreadableRecord):
        assert codec.decode_stored(octets).delivery.version <= codec.NEEDFUL
    reply_in(octets)


def report(octets: bytes) -> None:
    """A DSN about what others said: well-formed, and of three parts, whatever that was."""
    words = octets.split(b"\xff", 5)
    said, address, host, sender, envid, *rest = [*words, *[b""] * 6]
    text = [word.decode("utf-8", "replace") for word in (said, address, host, sender, envid)]
    about = rest[0] or said
    recipient = Reported(text[1], Action.FAILED, text[4][:20], text[4], text[2], text[0])
    given = Report(
        "01m5qrs0c00000000000", "relay.example", text[3], 1_790_000_060_000,
        "01m5qrs0000000000000", 1_790_000_000_000, (recipient,), about, len(about), envid=text[4],
    )  # fmt: skip
    made = dsn(given)
    assert made.count(b"\n") == made.count(b"\r") == made.count(b"\r\n")
    assert max(map(len, made.split(b"\r\n"))) <= 998
    message: Any = BytesParser(policy=policy.compat32).parsebytes(made)
    assert message.get_content_type() == "multipart/report"
    assert not message.defects
    assert len(message.get_payload()) == 3


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (receiver, command, content, replies, dns_answer, stored, report)
}


def _pieces(cut: bytes, octets: bytes) -> Iterator[bytes]:
    length = (cut[0] if cut else 0) % 61 + 1
    for at in range(0, len(octets), length):
        yield octets[at : at + length]


def _is_canonical(address: str) -> bool:
    """It is read again as it is."""
    if "@" not in address:
        return address == "postmaster"
    return parse_mailbox(address) == address and address.isascii() and address.isprintable()


def _both(read: Callable[[bytes], Any], write: Callable[[Any], bytes], octets: bytes) -> None:
    try:
        found = read(octets)
    except UnreadableRecord:
        return
    assert read(write(found)) == found


def _outcome(octets: bytes) -> object:
    return codec.decode_outcome(b"f0.1", octets)
