"""How people's addresses are written in the log: as they are, or so that nobody can read them.

A concealed address keeps its domain, which says where mail went, and has a hash in place of its
local part. One address has one hash under one key, so its records can be found by who knows the
address and the key; without the key no list of guessed addresses helps.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from hashlib import blake2b

from relay.log.render import MOST
from relay.mail.text import printable

Shown = Callable[[str], str]

#: Octets of a hash: enough to tell all addresses of a log apart.
_SIZE = 8
#: What looks like an address in a host's words: <b@example.net>, "to=b@example.net;".
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'=|]+@[\w.-]+")


#: An address, or a text with some in it, harmless to print.
plainly: Shown = partial(printable, most=MOST)


def concealing(key: str) -> Shown:
    """The same with every address in it concealed, under a key of 64 octets at most."""
    secret = key.encode()

    def one(found: re.Match[str]) -> str:
        local, _, domain = found[0].rpartition("@")
        whole = f"{local}@{domain.lower()}".encode("utf-8", "surrogatepass")
        return f"{blake2b(whole, digest_size=_SIZE, key=secret).hexdigest()}@{domain}"

    def shown(text: str) -> str:
        return printable(_ADDRESS.sub(one, text) if "@" in text else text, MOST)

    return shown
