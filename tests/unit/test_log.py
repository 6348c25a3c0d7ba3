import io
import json
import logging
import threading
import timeit
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from relay import log
from relay.log.records import Fate, Record
from relay.log.writer import Writer
from relay.mail.reply import Reply

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


def test_an_accepted_message_has_its_fields_and_no_empty_ones(out: io.BytesIO) -> None:
    log.configure(stream=out)
    before = datetime.now(UTC)
    log.accepted(
        ID, sender="a@s.example", recipients=3, size=4096, origin="smtp", client="192.0.2.1"
    )
    [line] = lines(out)
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {
        "level": "info", "event": "accepted", "id": ID, "sender": "a@s.example", "recipients": 3,
        "size": 4096, "origin": "smtp", "client": "192.0.2.1",
    }  # fmt: skip


def test_a_fate_has_the_reply_and_what_is_known_besides(out: io.BytesIO) -> None:
    log.configure(stream=out)
    log.fate(
        "deferred", ID, "b@d.example", Reply(451, "4.7.1", "greylisted"), sender="a@s.example",
        domain="d.example", site="mx.d.example", host="mx1.d.example", address="192.0.2.2",
        tls="TLSv1.3", attempt=2, took=0.25, age=70.5, wait=120.0, size=4096, delivery=1,
    )  # fmt: skip
    [line] = lines(out)
    del line["timestamp"]
    assert line == {
        "level": "info", "event": "deferred", "id": ID, "delivery": 1, "sender": "a@s.example",
        "recipient": "b@d.example", "domain": "d.example", "site": "mx.d.example",
        "host": "mx1.d.example", "address": "192.0.2.2", "tls": "TLSv1.3", "attempt": 2,
        "took": 0.25, "age": 70.5, "wait": 120.0, "code": 451, "enhanced": "4.7.1",
        "text": "greylisted", "size": 4096,
    }  # fmt: skip


def test_refusals_and_reports_are_recorded_too(out: io.BytesIO) -> None:
    log.configure(stream=out)
    log.refused(
        Reply(554, "5.7.1", "no relaying"),
        reason="relaying",
        origin="smtp",
        recipient="b@d.example",
    )
    log.reported("dsn-id", about=ID, sender="a@s.example", recipients=2)
    log.accepted(ID, sender="", recipients=1, size=1, origin="api", repeated=True)
    refused, dsn, repeated = lines(out)
    assert (refused["event"], refused["reason"], refused["code"]) == ("refused", "relaying", 554)
    assert (dsn["event"], dsn["id"], dsn["about"], dsn["recipients"]) == ("dsn", "dsn-id", ID, 2)
    assert repeated["event"] == "repeated"


HOSTILE = 'x\r\n{"event":"forged"}\x1b[31m\u202e\x85\udc80' + "y" * 5000


@pytest.mark.parametrize("format_", ["json", "console"])
def test_hostile_texts_stay_on_their_line_escaped_and_cut(out: io.BytesIO, format_: Any) -> None:
    log.configure(format_, stream=out)
    log.fate("bounced", ID, HOSTILE, Reply(550, "", HOSTILE), sender=HOSTILE)
    log.accepted(ID, sender=HOSTILE, recipients=1, size=1, origin="smtp")
    log.refused(
        Reply(550, "", HOSTILE), reason="x", origin="smtp", sender=HOSTILE, recipient=HOSTILE
    )
    log.reported(ID, about=ID, sender=HOSTILE, recipients=1)
    log.logger("relay.test").warning(
        HOSTILE, said=HOSTILE, octets=HOSTILE.encode("utf-8", "replace")
    )
    logging.getLogger("other").warning("%s", HOSTILE)
    log.flush()
    written = out.getvalue()
    assert written.count(b"\n") == 6
    for line in written.splitlines():
        assert len(line) < 3000
        assert line.decode().isprintable()
    if format_ == "json":
        events = [entry["event"] for entry in lines(out)]
        assert "forged" not in events


def test_every_logger_of_the_process_speaks_the_same_format(out: io.BytesIO) -> None:
    log.configure(stream=out)
    log.logger("relay.smtp").info("listening", port=2525)
    logging.getLogger("celery").warning("from a library: %d", 42)
    ours, theirs = lines(out)
    assert (ours["event"], ours["logger"], ours["port"]) == ("listening", "relay.smtp", 2525)
    assert (theirs["event"], theirs["logger"], theirs["level"]) == (
        "from a library: 42",
        "celery",
        "warning",
    )


def test_secrets_are_not_written(out: io.BytesIO) -> None:
    log.configure(stream=out)
    log.logger("relay.test").info("login", password="hunter2", api_token="t0ken", Authorization="b")
    log.flush()
    assert b"hunter2" not in out.getvalue()
    assert b"t0ken" not in out.getvalue()
    assert b'"Authorization":"***"' in out.getvalue()


def test_a_traceback_is_written_with_its_hostile_message_escaped(out: io.BytesIO) -> None:
    log.configure(stream=out)
    try:
        raise ValueError("bad \x1b[31m thing")
    except ValueError:
        log.logger("relay.test").exception("failed")
    [line] = lines(out)
    assert "Traceback" in line["exception"]
    assert "\n" in line["exception"]
    assert "\x1b" not in line["exception"]


def test_the_level_and_the_chosen_events_decide_what_is_recorded(out: io.BytesIO) -> None:
    log.configure(level="warning", stream=out)
    log.fate("bounced", ID, "b@d.example")
    log.logger("relay.test").info("quiet")
    assert lines(out) == []
    log.configure(events={"bounced"}, stream=out)
    log.fate("delivered", ID, "b@d.example")
    log.fate("bounced", ID, "b@d.example")
    assert [line["event"] for line in lines(out)] == ["bounced"]


def test_nothing_is_written_before_configure_and_loggers_are_the_programs_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log.fate("bounced", ID, "b@d.example")
    log.flush()
    log.logger("relay.test").warning("seen by whoever embeds us", port=1)
    assert "seen by whoever embeds us" in caplog.text


class Stuck(io.BytesIO):
    """A stream whose reader has stopped reading."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.released = threading.Event()

    def write(self, data: Any) -> int:
        self.asked.set()
        self.released.wait(10)
        return super().write(data)


def fate(number: int) -> Record:
    return Fate(timestamp=datetime.now(UTC), level="info", event="delivered", attempt=number)


def test_a_stuck_reader_blocks_nobody_and_what_is_dropped_is_told() -> None:
    stuck = Stuck()
    writer = Writer(stuck, lambda record: b"{}", most=10)
    writer.put(b"first")
    assert stuck.asked.wait(10)
    for number in range(25):
        writer.put(fate(number))
    assert writer.dropped == 15
    assert not writer.flush(0.01)
    stuck.released.set()
    writer.close()
    *written, last = stuck.getvalue().splitlines()
    assert written == [b"first", *[b"{}"] * 10]
    assert json.loads(last) == {"level": "error", "event": "log lines dropped", "count": 15}


def test_a_record_that_cannot_be_rendered_does_not_stop_the_log() -> None:
    def render(record: Record) -> bytes:
        raise ValueError

    out = io.BytesIO()
    writer = Writer(out, render)
    writer.put(fate(1))
    writer.put(b"next")
    writer.close()
    assert out.getvalue().splitlines()[1] == b"next"


class Gone(io.BytesIO):
    """A stream whose reader is gone."""

    def write(self, data: Any) -> int:
        raise BrokenPipeError


def test_a_reader_that_is_gone_fails_nobody() -> None:
    writer = Writer(Gone(), lambda record: b"{}")
    writer.put(b"line")
    assert writer.flush()
    writer.put(b"line")
    writer.close()
    assert writer.dropped == 2


def test_lines_are_written_in_the_order_they_were_put() -> None:
    out = io.BytesIO()
    writer = Writer(out, lambda record: b"")
    for number in range(5000):
        writer.put(str(number).encode())
    writer.close()
    assert [int(line) for line in out.getvalue().split()] == list(range(5000))


def test_recording_a_fate_costs_the_hot_path_little(out: io.BytesIO) -> None:
    log.configure(stream=out)
    reply = Reply(250, "2.0.0", "Ok: queued as 4FgHj")
    runs = 5000
    best = min(
        timeit.repeat(
            lambda: log.fate("delivered", ID, "b@d.example", reply, host="mx", took=0.1),
            number=runs,
            repeat=5,
        )
    )
    assert best / runs < 20e-6
