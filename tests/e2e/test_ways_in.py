"""Nobody relays who may not, nothing is smuggled or injected, by whichever way it comes in; seen at
the hosts that it would have reached."""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Iterator
from itertools import count

import pytest

from relay.mail.address import parse_path
from tests.support.ports import free_port
from tests.support.site import Site, Taken
from tests.support.smuggling import VARIANTS, smuggling
from tests.support.source import without_trace
from tests.support.system import System

INSIDER, OUTSIDER = "127.0.0.1", "127.0.0.9"
_NUMBERS = count()


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Where submission listens, besides the relaying port of the system."""
    return {"submission": free_port()}


@pytest.fixture(scope="module")
def shared(site: Site, ports: dict[str, int]) -> Iterator[System]:
    variables = {
        "RELAY_SMTP__NETWORKS": f"{INSIDER}/32",
        "RELAY_SUBMISSION__LISTEN": f"127.0.0.1:{ports['submission']}",
        "RELAY_SUBMISSION__CLEAR_LOGINS": "127.0.0.0/8",
        # So many refusals are no accident here.
        "RELAY_IDENTITY__FAILURES_PER_CLIENT": "900",
        "RELAY_SMTP__LIMITS__ERROR_RATE": "0",
        "RELAY_SMTP__LIMITS__STRANGER_RATE": "0",
    }
    with System(site, variables) as made:
        yield made


@pytest.fixture(scope="module")
def password(shared: System) -> str:
    """Of the login ann, who may send as origin.test."""
    made = shared.relay("user", "add", "ann", "--sender", "origin.test", "--json")
    return str(made["secret"])


class Client:
    """Says octets as they are, and reads whatever comes until it is its turn again."""

    def __init__(self, port: int, source: str = INSIDER) -> None:
        address = (source, 0)
        self.socket = socket.create_connection(("127.0.0.1", port), 10, source_address=address)
        self.heard = b""
        self.reply()

    def reply(self) -> str:
        """The last line of the next reply, "" where the session is over."""
        while not (found := re.match(rb"(?:\d{3}-[^\n]*\n)*\d{3} [^\n]*\n", self.heard)):
            more = self.socket.recv(65536)
            if not more:
                return ""
            self.heard += more
        self.heard = self.heard[found.end() :]
        return found[0].decode().rstrip().splitlines()[-1]

    def say(self, octets: bytes) -> str:
        try:
            self.socket.sendall(octets)
            return self.reply()
        except (BrokenPipeError, ConnectionResetError):
            return ""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def fresh() -> str:
    return f"row{next(_NUMBERS)}"


def content(id_: str, *fields: bytes) -> bytes:
    """A message that the hosts know by its id."""
    head = [f"X-Test-Id: {id_}".encode(), b"From: ann@origin.test", *fields]
    return b"\r\n".join(head) + b"\r\n\r\nhello\r\n"


def only_for(site: Site, system: System, id_: str, recipient: str) -> Taken:
    """The message, which reached this one recipient and nobody else."""
    system.until(lambda: site.ids()[id_])
    system.until_empty()
    [taken] = [one for one in site.taken if one.id == id_]
    assert taken.recipients == (recipient,)
    return taken


def nothing_went_to(site: Site, system: System, *words: str) -> None:
    """After a message that does arrive, nothing has come for anybody whose address has these."""
    id_ = fresh()
    with Client(system.port) as client:
        client.say(b"EHLO insider.test\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        client.say(b"RCPT TO:<marker@marker.test>\r\n")
        client.say(b"DATA\r\n")
        assert client.say(content(id_) + b".\r\n").startswith("250")
    only_for(site, system, id_, "marker@marker.test")
    reached = [one for taken in site.taken for one in (taken.sender, *taken.recipients)]
    assert not [one for one in reached if any(word in one for word in words)]


#: As an outsider would write them: path, and where it goes when somebody may send it (None: it is
#: no address at all).
PATHS: list[tuple[str, str | None]] = [
    ("<victim@open.test>", "victim@open.test"),
    ("<victim%open.test@relay.test>", "victim%open.test@relay.test"),
    ("<victim%open.test@[127.0.0.1]>", None),
    ("<@relay.test:victim@open.test>", "victim@open.test"),
    ("<@a.test,@relay.test:victim@open.test>", "victim@open.test"),
    ("<victim@open.test@relay.test>", None),
    ('<"victim@open.test"@relay.test>', '"victim@open.test"@relay.test'),
    ('<"victim@open.test">', None),
    ('<"victim\\@open.test"@relay.test>', '"victim@open.test"@relay.test'),
    ("<open.test!victim@relay.test>", "open.test!victim@relay.test"),
    ("<relay.test!open.test!victim>", None),
    ("<victim@[127.0.0.1]>", None),
    ("<victim@[IPv6:::1]>", None),
    ("<victim@[IPv6:::ffff:127.0.0.1]>", None),
    ("<victim@127.0.0.1>", None),
    ("<victim@2130706433>", None),
    ("<victim@open.test.>", None),
    ("<victim@open..test>", None),
    ("<victim@relay.test,victim@open.test>", None),
    ("<victim@relay.test> <victim@open.test>", None),
    ("<victim@open.test", None),
    ("victim@open.test", None),
    ("<>", None),
    ("< victim@open.test>", None),
]


@pytest.mark.parametrize(("path", "goes_to"), PATHS)
def test_an_outsider_relays_in_no_notation_and_an_insider_to_what_is_written(
    site: Site, system: System, path: str, goes_to: str | None
) -> None:
    with Client(system.port, OUTSIDER) as client:
        client.say(b"EHLO outsider.test\r\n")
        for sender in ("<>", "<ann@origin.test>", "<postmaster@relay.test>", "<root@localhost>"):
            assert client.say(f"MAIL FROM:{sender}\r\n".encode()).startswith("250")
            assert client.say(f"RCPT TO:{path}\r\n".encode())[:2] in ("50", "55")
            assert client.say(b"RSET\r\n").startswith("250")
    id_ = fresh()
    with Client(system.port) as client:
        client.say(b"EHLO insider.test\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        reply = client.say(f"RCPT TO:{path}\r\n".encode())
        assert reply.startswith("250") is (goes_to is not None), reply
        if goes_to is None:
            return
        client.say(b"DATA\r\n")
        assert client.say(content(id_) + b".\r\n").startswith("250")
    taken = only_for(site, system, id_, goes_to)
    assert taken.sender == "ann@origin.test"


@pytest.mark.parametrize(
    "lines",
    [
        [b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n"],
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\0\1\0\x19"],
        [b"EHLO x\r\n", b"XCLIENT ADDR=127.0.0.1\r\n"],
        [b"EHLO x\r\n", b"XCLIENT ADDR=IPV6:::ffff:127.0.0.1 LOGIN=ann\r\n"],
        [b"EHLO x\r\n", b"XFORWARD ADDR=127.0.0.1\r\n"],
        [b"EHLO [127.0.0.1]\r\n"],
        [b"EHLO x\r\n", b"AUTH PLAIN AGFubgA=\r\n"],
        [b"EHLO x\r\n", b"AUTH PLAIN =\r\n"],
    ],
)
def test_who_says_that_he_is_somebody_else_is_an_outsider_still(
    site: Site, system: System, lines: list[bytes]
) -> None:
    with Client(system.port, OUTSIDER) as client:
        for line in (*lines, b"EHLO x\r\n", b"MAIL FROM:<ann@origin.test>\r\n"):
            last = client.say(line)
        if last:
            # "": what it took for QUIT ended the session after that.
            answer = client.say(b"RCPT TO:<spoofed@open.test>\r\n")[:2]
            assert answer in ("50", "55", "53", "")
    nothing_went_to(site, system, "spoofed")


@pytest.mark.parametrize(
    "sender",
    ["<boss@other.test>", '<"ann@origin.test"@other.test>', "<@origin.test:ann@other.test>",
     "<ann%origin.test@other.test>", "<ann@sub.origin.test>", "<ann@origin.test.other.test>"],
)  # fmt: skip
def test_who_logs_in_sends_as_himself_alone(
    site: Site, system: System, ports: dict[str, int], password: str, sender: str
) -> None:
    with Client(ports["submission"]) as client:
        client.say(b"EHLO x\r\n")
        assert client.say(b"MAIL FROM:<ann@origin.test>\r\n").startswith("530")
        login = base64.b64encode(f"\0ann\0{password}".encode())
        assert client.say(b"AUTH PLAIN " + login + b"\r\n").startswith("235")
        assert client.say(f"MAIL FROM:{sender}\r\n".encode())[:3] in ("550", "501")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        client.say(b"RCPT TO:<forged@open.test>\r\n")
        client.say(b"DATA\r\n")
        author = sender.strip("<>").encode()
        reply = client.say(b"From: Ann <" + author + b">\r\nSubject: x\r\n\r\nhi\r\n.\r\n")
        assert reply[:3] == "550"
    nothing_went_to(site, system, "forged")


def _data(client: Client, octets: bytes) -> str:
    client.say(b"DATA\r\n")
    return client.say(octets)


def _chunked(client: Client, octets: bytes) -> str:
    octets = octets.removesuffix(b"\r\n.\r\n")
    half = len(octets) // 2
    first = b"BDAT %d\r\n%b" % (half, octets[:half])
    client.say(first)
    return client.say(b"BDAT %d LAST\r\n%b" % (len(octets) - half, octets[half:]))


@pytest.mark.parametrize("way", ["relayed", "logged in", "by BDAT"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_second_message_comes_out_of_one(
    site: Site, system: System, ports: dict[str, int], password: str, way: str, variant: str
) -> None:
    port = ports["submission"] if way == "logged in" else system.port
    with Client(port) as client:
        client.say(b"EHLO x\r\n")
        if way == "logged in":
            login = base64.b64encode(f"\0ann\0{password}".encode())
            client.say(b"AUTH PLAIN " + login + b"\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        client.say(b"RCPT TO:<first@smuggler.test>\r\n")
        octets = b"From: ann@origin.test\r\n" + smuggling(VARIANTS[variant])
        reply = (_chunked if way == "by BDAT" else _data)(client, octets)
        assert reply.startswith("550 5.6."), reply


def test_nothing_of_all_that_was_smuggled_arrived(site: Site, system: System) -> None:
    nothing_went_to(site, system, "evil", "victim@d.example", "first@smuggler.test")


CONTROLS = [bytes([octet]) for octet in (*range(9), 11, 12, *range(14, 32), 127)] + [b"\r", b"\n"]
_INJECTED = b"\r\nRCPT TO:<injected@open.test>"


@pytest.mark.parametrize(
    "line",
    [
        b"EHLO x%b",
        b"MAIL FROM:<a%b@origin.test>",
        b'MAIL FROM:<"a%b"@origin.test>',
        b"MAIL FROM:<a@origin%b.test>",
        b"MAIL FROM:<a@origin.test> ENVID=x%b",
        b"MAIL FROM:<a@origin.test> AUTH=x%b",
        b'RCPT TO:<"b%b"@inject.test>',
        b'RCPT TO:<"b\\%b"@inject.test>',
        b"RCPT TO:<b@inject.test> ORCPT=rfc822;x%b",
        b"RCPT TO:<b@inject.test> NOTIFY=NEVER%b",
    ],
)
def test_no_control_character_stands_in_any_field(system: System, line: bytes) -> None:
    for control in CONTROLS:
        with Client(system.port) as client:
            client.say(b"EHLO x\r\n")
            if line.startswith(b"RCPT"):
                client.say(b"MAIL FROM:<ann@origin.test>\r\n")
            reply = client.say(line % control + b"\r\n")
            assert reply[:1] in ("5", "4"), (control, reply)


@pytest.mark.parametrize("field", ["+0D+0ARCPT+20TO", "+00", "+0A", "+7F", "%0D%0A"])
def test_no_encoded_line_end_becomes_one(site: Site, system: System, field: str) -> None:
    with Client(system.port) as client:
        client.say(b"EHLO x\r\n")
        reply = client.say(f"MAIL FROM:<ann@origin.test> RET=HDRS ENVID=x{field}y\r\n".encode())
        assert reply[:3] == ("250" if "%" in field else "501")


def test_a_header_field_that_is_no_line_adds_none(site: Site, system: System) -> None:
    id_ = fresh()
    odd = b"Subject: a\x0bb\x0cc\x1bd\x7f\xc2\x85e\xe2\x80\xa8f"
    with Client(system.port) as client:
        client.say(b"EHLO x\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        client.say(b"RCPT TO:<b@odd.test>\r\n")
        client.say(b"DATA\r\n")
        sent = content(id_, odd)
        assert client.say(sent + b".\r\n").startswith("250")
    assert without_trace(only_for(site, system, id_, "b@odd.test").content) == sent


@pytest.mark.parametrize(
    "head",
    [
        b"X: " + b"x" * (129 << 10) + b"\r\n",
        b"X: y\r\n" * 30_000,
        b"X: y" + b"\r\n y" * 40_000 + b"\r\n",
    ],
    ids=["one line", "many fields", "one folded field"],
)
def test_a_header_section_that_is_too_large_is_refused(system: System, head: bytes) -> None:
    with Client(system.port) as client:
        client.say(b"EHLO x\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        client.say(b"RCPT TO:<b@large.test>\r\n")
        client.say(b"DATA\r\n")
        assert client.say(head + b"\r\nhi\r\n.\r\n").startswith("552 5.3.4")


def _nested(levels: int) -> bytes:
    parts = b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level, level + 1)
        for level in range(levels)
    )
    return b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n" + parts


def test_an_attachment_bomb_is_octets_like_any_other(
    site: Site, system: System, ports: dict[str, int], password: str
) -> None:
    id_ = fresh()
    bomb = _nested(20_000)
    sent = b"From: ann@origin.test\r\nDate: x\r\nMessage-ID: <x>\r\n"
    sent += f"X-Test-Id: {id_}\r\n".encode() + bomb
    began = time.monotonic()
    with Client(ports["submission"]) as client:
        client.say(b"EHLO x\r\n")
        login = base64.b64encode(f"\0ann\0{password}".encode())
        client.say(b"AUTH PLAIN " + login + b"\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        client.say(b"RCPT TO:<b@bomb.test>\r\n")
        client.say(b"DATA\r\n")
        assert client.say(sent + b".\r\n").startswith("250")
    assert time.monotonic() - began < 5
    assert without_trace(only_for(site, system, id_, "b@bomb.test").content) == sent


#: What looks like another address to some readers; where it goes, None where nowhere.
TRICKS: list[tuple[str, str | None]] = [
    ("b\uff20evil.test@tricks.test", "b\uff20evil.test@tricks.test"),
    ("b@tricks\u3002test", "b@tricks.test"),
    ("b@tricks\uff0etest", "b@tricks.test"),
    ("b@\uff54ricks.test", "b@tricks.test"),
    ("b@tri\u200bcks.test", "b@tricks.test"),
    ("b@\u202etricks.test", None),
    ("b@tricks.test\u2028.evil.test", None),
    ("b\u0085c@tricks.test", None),
    ("b@evil.test\u2215x.tricks.test", None),
    ("b@\u00adtricks.test", "b@tricks.test"),
    ("b@tr\u0456cks.test", "b@xn--trcks-o2e.test"),
]


@pytest.mark.parametrize(("address", "goes_to"), TRICKS, ids=repr)
def test_what_only_looks_like_an_address_goes_where_it_is_written(
    site: Site, system: System, address: str, goes_to: str | None
) -> None:
    id_ = fresh()
    with Client(system.port) as client:
        client.say(b"EHLO x\r\n")
        client.say(b"MAIL FROM:<ann@origin.test>\r\n")
        assert client.say(f"RCPT TO:<{address}>\r\n".encode())[0] == "5"
        client.say(b"RSET\r\n")
        client.say(b"MAIL FROM:<ann@origin.test> SMTPUTF8 BODY=8BITMIME\r\n")
        reply = client.say(f"RCPT TO:<{address}>\r\n".encode())
        assert reply.startswith("250") is (goes_to is not None), reply
        if goes_to is None:
            return
        client.say(b"DATA\r\n")
        assert client.say(content(id_) + b".\r\n").startswith("250")
    only_for(site, system, id_, goes_to)


def test_success_is_reported_as_relayed_with_what_the_client_called_it(
    site: Site, system: System
) -> None:
    id_ = fresh()
    with Client(system.port) as client:
        client.say(b"EHLO x\r\n")
        client.say(b"MAIL FROM:<asks@reports.test> RET=HDRS ENVID=order+2B77\r\n")
        client.say(b"RCPT TO:<b@reported.test> NOTIFY=SUCCESS ORCPT=rfc822;bob+40old.test\r\n")
        client.say(b"RCPT TO:<c@reported.test> NOTIFY=NEVER\r\n")
        client.say(b"DATA\r\n")
        assert client.say(content(id_) + b".\r\n").startswith("250")
    system.until(lambda: bool(site.for_recipient("asks@reports.test")))
    [report] = site.for_recipient("asks@reports.test")
    assert report.sender == ""
    text = report.content.decode()
    assert "Original-Envelope-Id: order+77\r\n" in text
    assert "Original-Recipient: rfc822; bob@old.test\r\n" in text
    assert "Action: relayed\r\n" in text
    assert "c@reported.test" not in text


def test_the_table_has_no_path_that_two_parsers_read_differently() -> None:
    for path, goes_to in PATHS:
        parsed = parse_path(path.encode())
        if goes_to is not None:
            assert getattr(parsed, "address", None) == goes_to
