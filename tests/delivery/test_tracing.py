"""A message's trace: begun at submission, carried in its deliveries, told by each attempt."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from relay import tracing
from relay.delivery.book import LeaseBook, now
from relay.delivery.conclude import Conclusions
from relay.mail.envelope import Envelope, Recipient
from relay.mail.reply import Reply
from relay.policy.retry import RetrySchedule
from relay.store.address import Address
from relay.store.admission import Admission, AdmissionOptions
from relay.store.client import StoreClient
from relay.store.leasing import LeaseOptions, Leasing
from relay.submission import Submission, Submitter

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is traced, in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.close()


async def relayed(store_url: str, trace: str = "", key: str = "") -> str:
    """Submit a message and give up on its recipients; its id."""
    client = StoreClient(Address.parse(store_url))
    await client.start()
    try:
        submitter = Submitter(
            Admission(client, 1, AdmissionOptions(deadline_ms=1000)), 1, lambda _: None
        )
        recipients = (Recipient("a@one.example"), Recipient("b@one.example"))
        accepted = await submitter.submit(
            Submission(
                id=submitter.new_id(),
                envelope=Envelope(sender="s@s.example", recipients=recipients),
                content=(b"Subject: x\r\n\r\nhi\r\n",),
                idempotency_key=key,
                traceparent=trace,
            )
        )
        leasing = Leasing(client, 1, "me", LeaseOptions())
        for lease in (await leasing.lease(0, [("one.example", 1)]))[0].leases:
            book = LeaseBook(30.0)
            book.enter(lease, now())
            conclusions = Conclusions(leasing, book, RetrySchedule(), lambda _: None)
            conclusions.unroutable(lease, Reply(550, "5.1.2", "no such domain"))
            await conclusions.settler.drained()
        return accepted.id
    finally:
        await client.close()


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    finished: Sequence[ReadableSpan] = spans.get_finished_spans()
    return {span.name: span for span in finished}


async def test_a_message_has_one_trace_from_submission_through_its_attempt(
    store_url: str, spans: InMemorySpanExporter
) -> None:
    message = await relayed(store_url)
    found = by_name(spans)
    submit, attempt = found["submit"], found["attempt"]
    assert attempt.context is not None
    assert submit.context is not None
    assert attempt.context.trace_id == submit.context.trace_id
    assert attempt.parent is not None
    assert attempt.parent.span_id == submit.context.span_id
    assert dict(submit.attributes or {}) == {
        "relay.message": message,
        "relay.way": "smtp",
        "relay.result": "accepted",
    }
    told = dict(attempt.attributes or {})
    assert (told["relay.message"], told["relay.attempt"], told["relay.bounced"]) == (message, 1, 2)
    assert told["smtp.reply"] == 550


async def test_no_address_of_a_person_is_in_a_trace(
    store_url: str, spans: InMemorySpanExporter
) -> None:
    await relayed(store_url)
    assert "@" not in "".join(span.to_json() for span in spans.get_finished_spans())


async def test_a_submission_belongs_to_the_trace_it_is_part_of(
    store_url: str, spans: InMemorySpanExporter
) -> None:
    await relayed(store_url, trace=PARENT)
    ids = {span.context.trace_id for span in spans.get_finished_spans() if span.context}
    assert ids == {0x0AF7651916CD43DD8448EB211C80319C}


async def test_a_repeated_submission_says_so(store_url: str, spans: InMemorySpanExporter) -> None:
    first = await relayed(store_url, key="k")
    again = await relayed(store_url, key="k")
    assert first == again
    results = [
        (span.attributes or {}).get("relay.result")
        for span in spans.get_finished_spans()
        if span.name == "submit"
    ]
    assert results == ["accepted", "repeated"]


async def test_a_message_that_is_not_sampled_costs_its_attempts_nothing(store_url: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    try:
        assert tracing.submission("id").context == ""
        await relayed(store_url)
    finally:
        tracing.close()
    assert exporter.get_finished_spans() == ()


async def test_without_tracing_nothing_is_carried(store_url: str) -> None:
    assert tracing.submission("id").context == ""
    assert tracing.submission("id", parent=PARENT[:-2] + "00").context == ""
    await relayed(store_url)


async def test_reception_that_does_not_trace_hands_on_the_context_of_who_does() -> None:
    """A client that submits through the store: the workers' attempts are part of its trace."""
    assert tracing.submission("id", parent=PARENT).context == PARENT


def test_what_cannot_be_sent_holds_up_no_end() -> None:
    before = set(threading.enumerate())
    tracing.start("smtp", "http://127.0.0.1:1/v1/traces", 1.0)
    tracing.submission("id").end()
    began = time.monotonic()
    tracing.close()
    assert time.monotonic() - began < 10
    assert set(threading.enumerate()) <= before
    assert tracing.submission("id").context == ""
