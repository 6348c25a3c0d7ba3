"""A message is part of its client's trace, where the client is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from relay import AsyncRelay, Message, tracing
from tests.ingress.http.conftest import HELLO, Serve

Token = Callable[..., Any]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
OTHER_TRACE = 0x1AF7651916CD43DD8448EB211C80319C


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is traced, in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.close()


def submits(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == "submit"]


def traces(spans: InMemorySpanExporter) -> list[int]:
    return [span.context.trace_id for span in submits(spans) if span.context]


async def test_the_header_of_a_request_is_the_parent_of_its_messages(
    serve: Serve, token: Token, spans: InMemorySpanExporter
) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        known = await token("app") | {"traceparent": PARENT}
        await client.post("/v1/messages", json=HELLO, headers=known)
        batch = {"messages": [HELLO, HELLO | {"traceparent": OTHER}]}
        await client.post("/v1/messages:batch", json=batch, headers=known)
    assert traces(spans)[0] == TRACE
    # Those of a batch end in any order; a message's own field wins.
    assert sorted(traces(spans)[1:]) == [TRACE, OTHER_TRACE]
    parent = submits(spans)[0].parent
    assert parent is not None
    assert (parent.span_id, parent.is_remote) == (SPAN, True)


async def test_who_is_known_by_its_network_alone_is_let_into_nobodys_trace(
    api: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    answer = await api.post("/v1/messages", json=HELLO, headers={"traceparent": PARENT})
    said = HELLO | {"traceparent": PARENT}
    assert (answer.status_code, (await api.post("/v1/messages", json=said)).status_code) == (
        202,
        202,
    )
    assert len(submits(spans)) == 2
    assert TRACE not in traces(spans)


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
    ],
)
async def test_a_header_that_cannot_be_read_begins_a_trace_of_its_own(
    serve: Serve, token: Token, spans: InMemorySpanExporter, header: str
) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        headers = await token("app") | {"traceparent": header}
        assert (await client.post("/v1/messages", json=HELLO, headers=headers)).status_code == 202
    assert len(submits(spans)) == 1
    assert submits(spans)[0].parent is None


async def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known(
    serve: Serve, token: Token, spans: InMemorySpanExporter
) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        headers = await token("app") | {"traceparent": f"01{PARENT[2:]}-more"}
        await client.post("/v1/messages", json=HELLO, headers=headers)
    assert traces(spans) == [TRACE]


async def test_a_field_that_cannot_be_read_is_named(serve: Serve, token: Token) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        said = HELLO | {"traceparent": "nonsense"}
        answer = await client.post("/v1/messages", json=said, headers=await token("app"))
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["traceparent"]


async def test_the_python_client_hands_on_the_span_that_it_is_in(
    serve: Serve, token: Token, spans: InMemorySpanExporter
) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    async with serve(networks=()) as url:
        secret = (await token("app"))["Authorization"].removeprefix("Bearer ")
        async with AsyncRelay(url, token=secret) as relay:
            with tracer.start_as_current_span("order") as order:
                assert trace.get_current_span() is order
                one = Message(from_="a@s.example", to="b@d.example", text="y")
                await relay.submit(one)
                await relay.submit_many([one])
    assert traces(spans) == [order.get_span_context().trace_id] * 2


async def test_a_retry_in_another_trace_is_the_same_message(
    serve: Serve, token: Token, spans: InMemorySpanExporter
) -> None:
    async with serve(networks=()) as url, httpx.AsyncClient(base_url=url) as client:
        known = await token("app") | {"Idempotency-Key": "k"}
        ids = [
            (
                await client.post(
                    "/v1/messages", json=HELLO, headers=known | {"traceparent": parent}
                )
            ).json()["id"]
            for parent in (PARENT, OTHER)
        ]
    assert ids[0] == ids[1]
