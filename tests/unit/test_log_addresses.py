"""Addresses in the log, concealed where that is asked for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import log
from relay.config.operation import LogSettings
from relay.log.addresses import concealing, plainly
from relay.mail.reply import Reply

KEY = "a key of thirty two characters.."
ID = "01m5qrs0000000000000"


@pytest.fixture
def out() -> Iterator[io.BytesIO]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield io.BytesIO()
    log.close()
    logging.root.handlers, logging.root.level = handlers, level


def lines(out: io.BytesIO) -> list[dict[str, Any]]:
    log.flush()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_no_local_part_is_in_any_record_and_each_address_has_one_hash(out: io.BytesIO) -> None:
    log.configure(conceal=KEY, stream=out)
    said = Reply(550, "5.1.1", "<bob@d.example>: bob@d.example unknown; see https://d.example/550")
    log.accepted(ID, sender="ann@s.example", recipients=1, size=1, origin="smtp")
    log.fate("bounced", ID, "bob@d.example", said, sender="ann@s.example", domain="d.example")
    log.refused(said, reason="relaying", origin="smtp", recipient="bob@d.example")
    log.reported("dsn", about=ID, sender="ann@s.example", recipients=1)
    text = out.getvalue().decode() if lines(out) else ""
    assert "ann@" not in text
    assert "bob@" not in text
    accepted, bounced, refused, reported = lines(out)
    assert accepted["sender"] == bounced["sender"] == reported["sender"]
    assert bounced["recipient"] == refused["recipient"]
    assert bounced["recipient"].endswith("@d.example")
    bob = bounced["recipient"]
    assert bounced["text"] == f"<{bob}>: {bob} unknown; see https://d.example/550"


def test_a_hash_depends_on_the_key_and_not_on_how_the_domain_is_written() -> None:
    one, other = concealing(KEY), concealing("another key of some length")
    assert one("bob@d.example") != other("bob@d.example")
    assert one("bob@D.example").partition("@")[0] == one("bob@d.example").partition("@")[0]
    assert one("Bob@d.example").partition("@")[0] != one("bob@d.example").partition("@")[0]


def test_the_null_sender_and_words_stay_as_they_are() -> None:
    shown = concealing(KEY)
    assert shown("") == ""
    assert shown("4.7.1 come back later") == "4.7.1 come back later"


@given(st.text())
def test_whatever_is_concealed_can_be_printed(text: str) -> None:
    assert concealing(KEY)(text).isprintable()


@given(st.from_regex(r"[a-z.+]{3,20}", fullmatch=True))
def test_a_local_part_is_never_shown(local: str) -> None:
    assert f"{local}@" not in concealing(KEY)(f"550 <{local}@d.example> unknown")


def test_plainly_is_what_it_was() -> None:
    assert plainly("bob@d.example\n") == "bob@d.example\\n"


@pytest.mark.parametrize("key", ["", "too short"])
def test_hashes_without_a_key_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        LogSettings(addresses="hashed", key=key)


def test_a_key_alone_conceals_nothing() -> None:
    assert LogSettings(key=KEY).conceal == ""
    assert LogSettings(addresses="hashed", key=KEY).conceal == KEY
