"""The name of a site: the same for all domains that share one MX set.

One host gives its own name: `mx.example.com`. More give the shortest of them (the first in
alphabetical order where several are as short), how many others there are, and a hash of all:
`aspmx.l.google.com+4-0k3v...`. The order and the preferences do not matter, nor does the case.

The hash has 80 bits, so that nobody can make an MX set of his own that has the name of somebody
else's site and have the failures of his hosts counted there. A name of a site is stored and shown,
so how it is made is not changed lightly: all breakers and windows start anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from relay.policy.endpoint import Endpoint
from relay.policy.names import normal

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_HASH_CHARACTERS = 16


def site_name(hosts: Iterable[str]) -> str:
    """The name of the site with these MX hosts, of which there is at least one."""
    names = sorted({normal(host) for host in hosts})
    if len(names) == 1:
        return names[0]
    lead = min(names, key=lambda name: (len(name), name))
    return f"{lead}+{len(names) - 1}-{_hash(names)}"


def site_of_smart_host(endpoint: Endpoint) -> str:
    """The name of a smart host's site: host:port, which no MX set is called (it has no colon)."""
    return str(endpoint)


def _hash(names: list[str]) -> str:
    digest = hashlib.sha256("\n".join(names).encode("ascii")).digest()
    number = int.from_bytes(digest[:10], "big")
    return "".join(_ALPHABET[(number >> 5 * place) & 31] for place in range(_HASH_CHARACTERS))
