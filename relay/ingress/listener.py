"""Listeners: the sockets that clients connect to, and the TLS that is offered on them."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from relay.errors import ConfigError
from relay.ingress.door import Door

#: Connections that the kernel keeps until they are accepted (it caps this at somaxconn).
BACKLOG = 1024


class Listen(Struct, frozen=True):
    """Where to listen; port 0 takes any free one."""

    host: str
    port: int
    #: The setting this comes from, named where it cannot be had.
    key: str = "smtp.listen"
    #: Several processes listen here together (SO_REUSEPORT); else a second one is refused.
    shared: bool = False
    #: What it announces and whom it lets in; None: the server's own.
    door: Door | None = None


def open_listeners(listeners: Sequence[Listen]) -> list[socket.socket]:
    """A listening socket for each, or for none: then ConfigError names all that cannot be had."""
    sockets: list[socket.socket] = []
    problems: list[str] = []
    for listen in listeners:
        try:
            sockets.append(_open(listen))
        except OSError as error:
            where = f"[{listen.host}]" if ":" in listen.host else listen.host
            problems.append(
                f"{listen.key}: cannot listen on {where}:{listen.port}: {error.strerror or error}"
            )
    if problems:
        for opened in sockets:
            opened.close()
        raise ConfigError(problems)
    return sockets


def _open(listen: Listen) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    opened = socket.socket(family, kind, protocol)
    with contextlib.ExitStack() as undo:
        undo.callback(opened.close)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listen.shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # `::` and `0.0.0.0` are two listeners: neither takes the other's port.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setblocking(False)
        opened.bind(address)
        opened.listen(BACKLOG)
        undo.pop_all()
    return opened


def server_tls(certificate: str, key: str, *, setting: str = "smtp.tls") -> ssl.SSLContext:
    """TLS 1.2 and up (RFC 8996) with this certificate chain and private key, both PEM files.

    Raises ConfigError naming the setting where they cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    problems = [
        f"{setting}.{name}: cannot read {path}"
        for name, path in (("certificate", certificate), ("key", key))
        if not _readable(path)
    ]
    if problems:
        raise ConfigError(problems)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError([f"{setting}: no usable certificate and key: {error}"]) from None
    return context


def _readable(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
