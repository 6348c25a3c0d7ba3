"""Which addresses are this machine's own, by asking the kernel, whatever changes while we run."""

from __future__ import annotations

import socket
import time
from functools import lru_cache

#: Kept for documentation (RFC 5737, RFC 3849), so no machine has them.
_NOBODYS = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def is_own(address: str) -> bool:
    """Whether the machine has the address: a socket can be bound to its own addresses only.

    Where the kernel is told to bind to any address (net.ipv4.ip_nonlocal_bind, used for addresses
    that move between machines), nothing counts as own: the settings have to name them.

    The kernel is asked of an address once a second: one that is connected to is looked at thrice.
    """
    return _is_own(address, int(time.monotonic()))


@lru_cache(maxsize=1000)
def _is_own(address: str, _second: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return _binds(family, address) and not _binds(family, _NOBODYS[family])


def _binds(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.bind((address, 0))
    except OSError:
        return False
    return True
