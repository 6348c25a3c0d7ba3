"""What one `relay smtp` takes in, alone: `python -m tests.bench.reception`.

Messages of 4 KiB, one recipient each, over 20 sessions that are reused, MAIL, RCPT and DATA in one
write; each 250 after the store's fsync, on the disk of TMPDIR. No worker runs. The clients are a
process of their own, on the other core; what they take of it is printed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import cast

import msgspec
import psutil  # type: ignore[import-untyped]
import trustme
import uvloop

from tests.support.ports import free_port
from tests.support.relay import command, environment
from tests.support.valkey import BROKER_OPTIONS, STORE_OPTIONS, ValkeyServer

MESSAGES, SESSIONS, ROUNDS = int(os.environ.get("MESSAGES", "20000")), 20, 3
_HEAD = b"From: ann@bench.test\r\nTo: b@d.test\r\nSubject: x\r\n"
_HEAD += b"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <x@bench.test>\r\n\r\n"
_CONTENT = _HEAD + (b"y" * 76 + b"\r\n") * 51 + b".\r\n"
_ENVELOPE = b"MAIL FROM:<ann@bench.test>\r\nRCPT TO:<b@d.test>\r\nDATA\r\n"


class _Client(asyncio.Protocol):
    """One session: says the next message when the last one was accepted."""

    def __init__(self, left: list[int], login: bytes, done: asyncio.Future[None]) -> None:
        self._left, self._login, self._done = left, login, done
        self._heard = b""
        self._steps = [b"EHLO client.test\r\n"] + [b"AUTH PLAIN " + login + b"\r\n"] * bool(login)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        *lines, self._heard = self._heard.split(b"\r\n")
        for line in lines:
            if line[3:4] == b" ":
                self._answered(line[:3])

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(str(exc)))

    def _answered(self, code: bytes) -> None:
        if self._steps:
            self._transport.write(self._steps.pop(0))
            self._replies = 0
            return
        self._replies += 1
        if code == b"354":
            self._transport.write(_CONTENT)
        elif self._replies in (1, 5):
            # The answer to EHLO or AUTH, or to the final dot.
            assert code in (b"250", b"235"), code
            self._next()

    def _next(self) -> None:
        if not self._left[0]:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._left[0] -= 1
        self._replies = 1
        self._transport.write(_ENVELOPE)


async def _load(port: int, login: str, tls: bool) -> None:
    """As a process: send it all, and print the seconds that it took and those of CPU."""
    loop = asyncio.get_running_loop()
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    left, dones = [MESSAGES], []
    began = time.perf_counter()
    for _ in range(SESSIONS):
        done = loop.create_future()
        dones.append(done)
        await loop.create_connection(
            partial(_Client, left, login.encode(), done),
            "127.0.0.1",
            port,
            ssl=context,
        )
    await asyncio.gather(*dones)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        msgspec.json.encode([time.perf_counter() - began, used.ru_utime + used.ru_stime]).decode()
    )


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, "relay smtp ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _measure() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store, broker = ValkeyServer(**STORE_OPTIONS), ValkeyServer(**BROKER_OPTIONS)
        for server in (store, broker):
            stack.callback(server.remove)
            server.start()
        made = trustme.CA().issue_cert("relay.test")
        made.cert_chain_pems[0].write_to_path(f"{folder}/chain.pem")
        made.private_key_pem.write_to_path(f"{folder}/key.pem")
        plain, starttls, implicit = free_port(), free_port(), free_port()
        variables = environment(
            RELAY_STORE__URL=store.url,
            RELAY_BROKER__URL=broker.tcp_url,
            RELAY_DATA=folder,
            RELAY_METRICS__ENABLED="false",
            RELAY_LOG__LEVEL="warning",
            RELAY_SMTP__LISTEN=f"127.0.0.1:{plain}",
            RELAY_SMTP__HOSTNAME="relay.test",
            RELAY_SMTP__TLS__CERTIFICATE=f"{folder}/chain.pem",
            RELAY_SMTP__TLS__KEY=f"{folder}/key.pem",
            RELAY_SUBMISSION__LISTEN=f"127.0.0.1:{starttls}",
            RELAY_SUBMISSION__IMPLICIT_TLS=f"127.0.0.1:{implicit}",
            RELAY_SUBMISSION__CLEAR_LOGINS="127.0.0.0/8",
        )
        logins = {}
        for name, sender, quota in (
            ("any", "*", "0"),
            ("own", "bench.test", "0"),
            ("quota", "bench.test", "100000000"),
        ):
            said = subprocess.run(
                command("user", "add", name, "--sender", sender, "--messages-per-day", quota,
                        "--json"),
                env=variables, check=True, capture_output=True,
            )  # fmt: skip
            secret = msgspec.json.decode(said.stdout)["secret"]
            logins[name] = base64.b64encode(f"\0{name}\0{secret}".encode()).decode()
        relay = subprocess.Popen(command("smtp"), env=variables, stderr=subprocess.DEVNULL)
        stack.callback(relay.wait)
        stack.callback(relay.kill)
        _await(plain, relay)
        cases = [
            ("by network, in the clear", plain, "", ""),
            ("AUTH, in the clear (submission: header fixed)", starttls, logins["any"], ""),
            ("AUTH and TLS", implicit, logins["any"], "tls"),
            ("AUTH and TLS, From checked", implicit, logins["own"], "tls"),
            ("AUTH and TLS, From checked, a quota", implicit, logins["quota"], "tls"),
        ]
        print("| over 20 reused sessions | messages/s | CPU-ms, relay smtp | CPU-ms, clients |")
        print("|---|---|---|---|")
        for name, port, login, tls in cases:
            figures = [_round(relay.pid, store, port, login, tls) for _ in range(ROUNDS)]
            rate, ours, theirs = (
                statistics.median(column) for column in zip(*figures, strict=True)
            )
            print(f"| {name} | {rate:,.0f} | {ours:.3f} | {theirs:.3f} |", flush=True)


def _round(
    pid: int, store: ValkeyServer, port: int, login: str, tls: str
) -> tuple[float, float, float]:
    _empty(store)
    process = psutil.Process(pid)
    before = sum(process.cpu_times()[:2])
    argv = [sys.executable, "-m", "tests.bench.reception", str(port), login, tls]
    ran = subprocess.run(argv, check=True, capture_output=True, env=os.environ)
    seconds, theirs = msgspec.json.decode(ran.stdout)
    ours = sum(process.cpu_times()[:2]) - before
    return MESSAGES / seconds, ours * 1000 / MESSAGES, theirs * 1000 / MESSAGES


def _empty(store: ValkeyServer) -> None:
    """Forget the messages, and not who may send them."""
    keys = store.command("KEYS", "relay:{p*")
    for at in range(0, len(keys), 1000):
        store.command("UNLINK", *keys[at : at + 1000])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        uvloop.run(_load(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "tls"))
    else:
        _measure()
