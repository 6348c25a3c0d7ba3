"""From an address to a session: connect, greeting, EHLO, STARTTLS (RFC 5321 section 3.1, RFC 3207).

aiosmtplib does the talking up to here; then the session takes its connection over. Its timeouts
and its own opportunistic mode are not used: that mode verifies certificates and never goes on in
the clear.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

from aiosmtplib import SMTP, SMTPException, SMTPHeloError, SMTPResponseException
from msgspec import structs

from relay.mail.client_commands import QUIT, wire
from relay.mail.outcome import Failure
from relay.policy.tls import Requirement, TlsMode, is_enough
from relay.smtp import failures
from relay.smtp.features import Features, features_of
from relay.smtp.options import ConnectOptions, Target
from relay.smtp.session import Session
from relay.smtp.tls import context_of, objection, server_name

T = TypeVar("T")

_OPTIONAL = (TlsMode.NONE, TlsMode.OPPORTUNISTIC)


async def connect(target: Target, options: ConnectOptions) -> Session | Failure:
    """A session with the host, ready to start, or why there is none.

    All that the network does becomes a Failure of scope HOST. `phase` is connect (451 4.4.4 for an
    address that is not permitted, else 421 4.4.1), greeting, ehlo or starttls; or local, where this
    machine could not even try. Cancelled, it closes the connection.
    """
    needs = target.needs or Requirement(options.tls)
    session = await _attempt(target, options, needs, secure=needs.mode is not TlsMode.NONE)
    if (
        isinstance(session, Failure)
        and session.phase == "starttls"
        and needs.mode is TlsMode.OPPORTUNISTIC
    ):
        return await _attempt(target, options, needs, secure=False)
    return session


async def _attempt(
    target: Target, options: ConnectOptions, needs: Requirement, *, secure: bool
) -> Session | Failure:
    client = SMTP(local_hostname=options.hello, timeout=None, start_tls=False)
    sock = _socket(target, options)
    if isinstance(sock, Failure):
        return sock
    session: Session | Failure | None = None
    try:
        session = await _reach(sock, target, options)
        if session is None:
            session = await _converse(client, sock, target, options, needs if secure else None)
        if isinstance(session, Failure) and session.lack is not None:
            await _say_quit(client)
        return session
    finally:
        if not isinstance(session, Session):
            _drop(client, sock)


def _socket(target: Target, options: ConnectOptions) -> socket.socket | Failure:
    """A socket that may be connected to the target."""
    try:
        version = ipaddress.ip_address(target.address).version
    except ValueError:
        return failures.unreachable(f"{target.address} is no IP address")
    if not options.permitted(target.address):
        return failures.forbidden(target.address)
    sock = None
    try:
        sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if options.source:
            sock.bind((options.source, 0))
    except OSError as error:
        if sock is not None:
            sock.close()
        return failures.local(_said(error))
    return sock


async def _reach(sock: socket.socket, target: Target, options: ConnectOptions) -> Failure | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(options.timeouts.connect):
            await loop.sock_connect(sock, (target.address, target.port))
        address = str(sock.getpeername()[0])
    except TimeoutError:
        return failures.unreachable("no answer in time")
    except OSError as error:
        return failures.unreachable(_said(error))
    # What counts is the address that the kernel really connected to.
    return None if options.permitted(address) else failures.forbidden(address)


def _said(error: OSError) -> str:
    """The kernel's words; asyncio puts its own in their place."""
    return os.strerror(error.errno) if error.errno else str(error)


async def _converse(
    client: SMTP,
    sock: socket.socket,
    target: Target,
    options: ConnectOptions,
    needs: Requirement | None,
) -> Session | Failure:
    """`needs`: None where there is to be no TLS."""
    timeouts = options.timeouts
    greeted = await _phase("greeting", timeouts.greeting, client.connect(sock=sock))
    if isinstance(greeted, Failure):
        return greeted
    _tighten(client)
    features = await _features(client, options, "ehlo")
    if isinstance(features, Failure):
        return features
    if needs is not None and (features.starttls or needs.mode not in _OPTIONAL):
        if not features.starttls:
            return failures.insecure("the host does not offer it")
        features = await _secure(client, target, options, needs)
        if isinstance(features, Failure):
            return features
    return _take_over(client, target, options, needs, features)


async def _features(client: SMTP, options: ConnectOptions, phase: str) -> Features | Failure:
    """Say EHLO, or HELO to a host that does not know EHLO (RFC 5321 section 3.2).

    `phase` is blamed where there is no reply.
    """
    try:
        async with asyncio.timeout(options.timeouts.ehlo):
            await client.ehlo()
        return features_of(client.esmtp_extensions)
    except SMTPHeloError as error:
        if not 500 <= error.code < 600 or not client.is_connected:
            return _failure("ehlo", error, options.timeouts.ehlo)
    except (SMTPException, OSError) as error:
        return _failure(phase, error, options.timeouts.ehlo)
    helo = await _phase("ehlo", options.timeouts.ehlo, client.helo())
    return helo if isinstance(helo, Failure) else Features()


async def _secure(
    client: SMTP, target: Target, options: ConnectOptions, needs: Requirement
) -> Features | Failure:
    """STARTTLS, and EHLO again: what was said in the clear counts no more (RFC 3207 section 4.2).

    With TLS 1.3 a host may refuse the handshake only after our side of it is done, so a connection
    that is lost before the second EHLO is answered was lost to STARTTLS.
    """
    name = server_name(target.host)
    if needs.mode is TlsMode.VERIFIED and name is None:
        # Without a name the ssl module would verify the chain alone, whoever it is for.
        return failures.insecure("the host has no name to verify")
    context = context_of(needs.mode, options.authorities, named=bool(needs.names))
    upgrade = client.starttls(server_hostname=name, tls_context=context, timeout=None)
    secured = await _phase("starttls", options.timeouts.starttls, upgrade)
    if isinstance(secured, Failure):
        return secured
    why = objection(client.get_transport_info("ssl_object"), needs, target.host)
    if why:
        return failures.unverified(why)
    features = await _features(client, options, "starttls")
    if isinstance(features, Features) and needs.requiretls and not features.requiretls:
        return failures.unpromising()
    return features


async def _phase(name: str, seconds: float, talk: Coroutine[Any, Any, T]) -> T | Failure:
    try:
        async with asyncio.timeout(seconds):
            return await talk
    except (SMTPException, OSError, ValueError) as error:
        # ValueError: a host's name that TLS cannot ask for.
        return _failure(name, error, seconds)


def _failure(phase: str, error: Exception, seconds: float) -> Failure:
    if isinstance(error, SMTPResponseException):
        return failures.refused(phase, error.code, error.message)
    if isinstance(error, TimeoutError):
        return failures.silent(phase, seconds)
    if isinstance(error, ssl.SSLCertVerificationError):
        return failures.unverified(error.verify_message or str(error))
    return failures.lost(phase, str(error))


def _tighten(client: SMTP) -> None:
    """Let "paused" mean "not all was handed to the kernel", also below a later TLS layer."""
    transport = cast(asyncio.Transport, client.transport)
    transport.set_write_buffer_limits(high=1, low=0)


def _take_over(
    client: SMTP,
    target: Target,
    options: ConnectOptions,
    needs: Requirement | None,
    features: Features,
) -> Session | Failure:
    """Make the connection a session's; aiosmtplib forgets it."""
    transport = cast("asyncio.Transport | None", client.transport)
    protocol = client.protocol
    if transport is None or protocol is None or transport.is_closing():
        return failures.lost("ehlo")
    if protocol._buffer:  # noqa: SLF001  it would be lost, and with it the pairing of replies
        return failures.nonsense("ehlo", "more than one reply to EHLO")
    tls = transport.get_extra_info("ssl_object")
    if tls is None and features.requiretls:
        # It counts inside TLS alone (RFC 8689 section 2).
        features = structs.replace(features, requiretls=False)
    session = Session(
        transport,
        target,
        tls=tls.version() or "" if tls else "",
        verified=needs.by if tls and needs is not None and is_enough(needs) else "",
        features=features,
        timeouts=options.timeouts,
        limits=options.limits,
    )
    transport.set_protocol(session)
    client.protocol = client.transport = None
    return session


async def _say_quit(client: SMTP) -> None:
    """Take leave of a host that did nothing wrong, without waiting for its answer."""
    transport = cast("asyncio.Transport | None", client.transport)
    if transport is not None and not transport.is_closing():
        transport.write(wire(QUIT))
        # A loop may hand it to the kernel in its next turn, and what follows cuts the connection.
        await asyncio.sleep(0)


def _drop(client: SMTP, sock: socket.socket) -> None:
    """Close the connection at once, however far it came."""
    transport = cast("asyncio.Transport | None", client.transport)
    if transport is not None:
        transport.abort()
    client.close()
    # Where no transport took the socket, nobody else closes it. (uvloop may have closed the
    # descriptor under it, cancelled while taking it.)
    with suppress(OSError):
        sock.close()
