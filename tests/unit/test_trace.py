import pytest

from relay.mail.trace import hops, received, received_from, with_keyword


@pytest.mark.parametrize(
    ("extended", "secure", "keyword"),
    [(False, False, "SMTP"), (True, False, "ESMTP"), (True, True, "ESMTPS")],
)
def test_the_protocol_is_named_as_registered(extended: bool, secure: bool, keyword: str) -> None:
    assert with_keyword(extended=extended, secure=secure) == keyword


@pytest.mark.parametrize(
    ("client", "source"),
    [
        ("192.0.2.1", "client.example ([192.0.2.1])"),
        ("2001:db8::1", "client.example ([IPv6:2001:db8::1])"),
        ("", "client.example"),
    ],
)
def test_the_trace_header_says_from_whom_by_whom_and_when(client: str, source: str) -> None:
    session = received_from("client.example", client, "relay.example", "ESMTP")
    assert received(session, "01m5qrs0c00000000000", 1_790_000_060).decode() == (
        f"Received: from {source}\r\n"
        "\tby relay.example (Relay) with ESMTP id 01m5qrs0c00000000000;\r\n"
        "\tMon, 21 Sep 2026 14:14:20 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (b"", 0),
        (b"Received: a\r\nRECEIVED: b\r\n c\r\nX-Received: d\r\n\r\nbody", 2),
        (b"Subject: a\r\nreceived: b\r\n\r\nReceived: in the body\r\n", 1),
        (b"\r\nReceived: in the body\r\n", 0),
        (b"Received: a\r\nReceived: b\r\n", 2),
    ],
)
def test_hops_are_counted_in_the_header_section_alone(content: bytes, count: int) -> None:
    assert hops(content) == count
