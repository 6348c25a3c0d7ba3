import asyncio
import gzip
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable
from http.client import HTTPResponse
from typing import Any

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from relay import metrics
from relay.errors import ConfigError
from relay.ingress.health import HealthOptions, HealthServer

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers = []

    async def begin(**options: Any) -> HealthServer:
        server = HealthServer("smtp", **options)
        await server.start("127.0.0.1", 0, setting="metrics.listen")
        servers.append(server)
        return server

    yield begin
    for server in servers:
        await server.close()


async def get(server: HealthServer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, header fields and body, as an ordinary client sees them."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=named)

    def ask() -> tuple[int, dict[str, str], bytes]:
        try:
            response: HTTPResponse = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()
        with response:
            return response.status, dict(response.headers), response.read()

    return await asyncio.to_thread(ask)


async def say(server: HealthServer, octets: bytes) -> bytes:
    """All that comes back for these octets until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(octets)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_metrics_are_served_in_the_text_format(start: Start) -> None:
    status, headers, body = await get(await start(), "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE relay_attempts_total counter" in body
    assert b"# TYPE relay_queue_deliveries gauge" not in body


async def test_openmetrics_is_served_to_who_accepts_it(start: Start) -> None:
    server = await start(registry=metrics.FLEET)
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, headers, body = await get(server, "/metrics", Accept=accept)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert b"# TYPE relay_queue_deliveries gauge" in body


async def test_metrics_are_compressed_for_who_accepts_it(start: Start) -> None:
    _, headers, body = await get(await start(), "/metrics", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert b"relay_attempts_total" in gzip.decompress(body)


async def test_a_role_is_ready_until_there_is_a_reason_that_it_is_not(start: Start) -> None:
    reasons: list[str] = []
    server = await start(ready=lambda: reasons)
    status, headers, body = await get(server, "/health/ready")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["status"] == "ok"
    reasons.append("the store does not answer")
    status, _, body = await get(server, "/health/ready")
    assert status == 503
    said = json.loads(body)
    assert (said["status"], said["role"]) == ("failing", "smtp")
    assert said["reasons"] == ["the store does not answer"]
    assert (await get(server, "/health/live"))[0] == 200


async def test_a_callback_that_fails_is_answered_with_500(start: Start) -> None:
    def broken() -> list[str]:
        raise RuntimeError("a bug")

    status, _, body = await get(await start(ready=broken), "/health/ready")
    assert status == 500
    assert b"a bug" not in body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(REQUEST, b"200", id="get"),
        pytest.param(b"GET /health/live?x=1 HTTP/1.0\r\n\r\n", b"200", id="query ignored"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"404", id="no such page"),
        pytest.param(b"GET /health/../metrics HTTP/1.1\r\n\r\n", b"404", id="no path games"),
        pytest.param(b"POST /metrics HTTP/1.1\r\n\r\n", b"405", id="another method"),
        pytest.param(b"GET /metrics\r\n\r\n", b"400", id="no version"),
        pytest.param(b"\x16\x03\x01\xff\xfe\r\n\r\n", b"400", id="not HTTP at all"),
        pytest.param(b"GET /" + b"x" * 9000, b"431", id="endless request"),
    ],
)
async def test_requests_get_the_status_they_deserve(
    start: Start, request_: bytes, status: bytes
) -> None:
    assert (await say(await start(), request_)).startswith(b"HTTP/1.1 " + status)


async def test_head_gets_the_head_alone(start: Start) -> None:
    answer = await say(await start(), REQUEST.replace(b"GET", b"HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" not in answer


async def test_a_request_may_come_in_pieces_and_what_follows_it_is_ignored(start: Start) -> None:
    server = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for octet in REQUEST:
        writer.write(bytes([octet]))
        await writer.drain()
    writer.write(REQUEST)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.count(b"HTTP/1.1 200 OK") == 1


async def test_the_clients_words_do_not_come_back_in_a_header(start: Start) -> None:
    accept = b"Accept: application/openmetrics-text; version=1.0.0\nX-Injected: 1"
    answer = await say(await start(), b"GET /metrics HTTP/1.1\r\n" + accept + b"\r\n\r\n")
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Injected" not in head


async def test_a_client_that_asks_nothing_is_dropped(start: Start) -> None:
    server = await start(options=HealthOptions(patience=0.05))
    assert await say(server, b"GET /health/live HTTP/1.1\r\n") == b""


async def test_clients_above_the_limit_are_turned_away_and_the_others_served(start: Start) -> None:
    server = await start(options=HealthOptions(most_connections=2))
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
    assert await say(server, REQUEST) == b""
    reader, writer = idle[0]
    writer.write(REQUEST)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
    for _, open_ in idle:
        open_.close()


class Slow(Collector):
    """A collector that waits until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.begun = threading.Event()
        self.go = threading.Event()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        self.asked += 1
        self.begun.set()
        self.go.wait(10)
        return [GaugeMetricFamily("slow", "Slow.", value=1)]


async def test_rendering_blocks_nothing_and_is_shared_by_who_asks_meanwhile(start: Start) -> None:
    slow, registry = Slow(), CollectorRegistry()
    registry.register(slow)
    server = await start(registry=registry)
    asked = [asyncio.create_task(say(server, b"GET /metrics HTTP/1.1\r\n\r\n")) for _ in range(5)]
    assert await asyncio.to_thread(slow.begun.wait, 10)
    # Whoever is answered now came after all of those, so they have been heard.
    assert (await get(server, "/health/live"))[0] == 200
    slow.go.set()
    answers = await asyncio.gather(*asked)
    assert all(b"slow 1.0" in answer for answer in answers)
    assert slow.asked == 1


async def test_a_taken_port_is_an_error_that_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            await HealthServer("smtp").start("127.0.0.1", port, setting="metrics.listen")
    [problem] = caught.value.problems
    assert problem.startswith("metrics.listen: ")
    assert f"port {port}" in problem
    assert "taken" in problem


async def test_an_address_that_is_not_ours_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"^exporter\.listen: cannot listen"):
        await HealthServer("x").start("192.0.2.1", 9925, setting="exporter.listen")


async def test_the_lag_of_the_loop_is_sampled(start: Start) -> None:
    def samples() -> float:
        return metrics.PROCESS.get_sample_value("relay_event_loop_lag_seconds_count") or 0

    before = samples()
    await start(options=HealthOptions(sample=0.001))
    async with asyncio.timeout(10):
        while samples() < before + 5:  # noqa: ASYNC110 - a metric cannot be waited for
            await asyncio.sleep(0.001)


async def test_a_closed_server_serves_nobody() -> None:
    server = HealthServer("smtp")
    await server.start("127.0.0.1", 0, setting="metrics.listen")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await server.close()
    with pytest.raises(OSError):  # noqa: PT011 - refused here, reset there
        await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()
    del reader


async def ask_all(expected: dict[str, int]) -> None:
    server = HealthServer("smtp", ready=lambda: ["not yet"])
    await server.start("127.0.0.1", 0, setting="metrics.listen")
    answers = {path: (await get(server, path))[0] for path in expected}
    await server.close()
    assert answers == expected


def test_uvloop_carries_it_too() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask_all({"/metrics": 200, "/health/live": 200, "/health/ready": 503}))
