"""What `relay send` makes of files and options, before any server sees it."""

from __future__ import annotations

from email import message_from_bytes, policy
from pathlib import Path

import pytest

from relay.cli.submit import composed, from_file
from relay.cli.up.samples import contents

FILE = (
    b"From: Ann <ann@a.example>\nTo: bob@b.example, Carla <carla@c.example>\nCc: bob@b.example\n"
    b"Bcc: eve@e.example\nSubject: x\n\nline\n.\n"
)


def test_the_envelope_is_taken_from_the_header_section() -> None:
    message = from_file(FILE)
    assert message.sender == "ann@a.example"
    assert message.recipients == ("bob@b.example", "carla@c.example", "eve@e.example")


def test_a_bcc_field_is_taken_out_and_all_else_stays_as_it_is() -> None:
    content = from_file(FILE).content
    assert b"eve@e.example" not in content
    assert content == FILE.replace(b"Bcc: eve@e.example\n", b"").replace(b"\n", b"\r\n")


def test_without_bcc_every_octet_stays_but_line_ends_become_crlf() -> None:
    odd = b"From: a@a.example\nTo: b@b.example\nX:\t folded\n  more\n\n\xff\xfe \r\nend"
    assert from_file(odd).content == odd.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_options_hold_over_the_header_section() -> None:
    message = from_file(FILE, "", ["only@o.example"])
    assert (message.sender, message.recipients) == ("", ("only@o.example",))


def test_a_message_without_a_recipient_is_refused() -> None:
    with pytest.raises(ValueError, match="name one by --to"):
        from_file(b"From: a@a.example\n\nx\n")


def test_a_composed_message_has_all_that_rfc_5322_asks_for() -> None:
    message = composed("a@a.example", ["b@b.example", "c@c.example"], "Grüße", "Hallo\nJürgen\n")
    parsed = message_from_bytes(message.content, policy=policy.default)
    assert parsed["To"] == "b@b.example, c@c.example"
    assert parsed["Subject"] == "Grüße"
    assert parsed["Date"]
    assert parsed["Message-ID"].endswith("@a.example>")
    assert parsed.get_content() == "Hallo\r\nJürgen\r\n"


def test_the_samples_are_varied_and_each_names_its_envelope(tmp_path: Path) -> None:
    samples = {name: from_file(content) for name, content in contents()}
    assert len(samples) == 5
    assert any(not message.content.isascii() for message in samples.values())
    assert any(b"multipart/alternative" in message.content for message in samples.values())
    assert any(
        b"Content-Disposition: attachment" in message.content for message in samples.values()
    )
    domains = {
        name: {recipient.partition("@")[2] for recipient in message.recipients}
        for name, message in samples.items()
    }
    assert max(map(len, domains.values())) == 4
    assert all(".example" in domain for named in domains.values() for domain in named)
