"""Bounds of requests: octets, time, numbers; and what is said beyond them."""

from __future__ import annotations

import asyncio
import gzip
import json

import httpx
import pytest
import zstandard

from relay.ingress.http import server
from tests.ingress.http.conftest import HELLO, Serve

JSON = {"Content-Type": "application/json"}


async def test_a_body_is_bounded_before_and_after_unpacking(serve: Serve) -> None:
    async with (
        serve(limits={"body": "64KiB"}) as url,
        httpx.AsyncClient(base_url=url, headers=JSON) as client,
    ):
        large = json.dumps(HELLO | {"text": "x" * 70_000}).encode()
        assert (await client.post("/v1/messages", content=large)).status_code == 413

        async def pieces() -> object:
            yield large

        assert (await client.post("/v1/messages", content=pieces())).status_code == 413  # type: ignore[arg-type]
        bomb = b'{"text":"' + b"x" * 50_000_000 + b'"}'
        for coding, packed in (("gzip", gzip.compress(bomb)), ("zstd", zstandard.compress(bomb))):
            headers = {"Content-Encoding": coding}
            answer = await client.post("/v1/messages", content=packed[:60_000], headers=headers)
            assert answer.status_code == 413, coding


async def test_a_zstd_frame_cannot_ask_for_any_memory_it_likes(api: httpx.AsyncClient) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = packed.compress(b"x" * 1000) + packed.flush()
    headers = JSON | {"Content-Encoding": "zstd"}
    answer = await api.post("/v1/messages", content=frame, headers=headers)
    assert answer.status_code == 400


async def test_a_batch_has_a_bounded_number_of_messages(serve: Serve) -> None:
    async with serve(limits={"batch": 2}) as url, httpx.AsyncClient(base_url=url) as client:
        for count, status in ((0, 422), (2, 200), (3, 422)):
            body = {"messages": [HELLO] * count}
            assert (await client.post("/v1/messages:batch", json=body)).status_code == status


async def test_recipients_of_a_message_are_bounded(api: httpx.AsyncClient) -> None:
    many = [f"u{n}@a.example" for n in range(1001)]
    answer = await api.post("/v1/messages", json=HELLO | {"to": many})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "to")


async def raw(url: str, octets: bytes) -> bytes:
    """What a connection answers to octets, until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(octets)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_body_that_comes_too_slowly_is_given_up(serve: Serve) -> None:
    async with serve(limits={"body_time": "1s"}) as url:
        head = (
            b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        )
        answer = await raw(url, head + b"Content-Length: 9\r\nConnection: close\r\n\r\n{")
        assert b" 408 " in answer.split(b"\r\n")[0]


async def test_a_header_section_is_bounded_in_octets_and_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"GET /docs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    answer = await raw(url, head + b"X-A: " + b"a" * (server.MOST_HEADER + 1))
    assert answer.startswith(b"HTTP/1.1 431 ")
    monkeypatch.setattr(server, "HEADER_TIME", 0.2)
    assert await raw(url, head) == b""
    assert await raw(url, b"") == b""


async def test_memory_for_bodies_is_bounded(serve: Serve) -> None:
    async with (
        serve(limits={"memory": "1MiB"}) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        large = HELLO | {"text": "x" * 1_100_000}
        answer = await client.post("/v1/messages", json=large)
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert answer.headers["Retry-After"]
        assert (await client.post("/v1/messages", json=HELLO)).status_code == 202
