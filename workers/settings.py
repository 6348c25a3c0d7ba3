"""Relay's settings as Celery's: the one place in which a worker reads where the broker is."""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit

from relay.store.address import Address

_DEFAULT = "redis://127.0.0.1:6379/0"


def broker_url() -> str:
    """The broker's URL in the form that kombu knows."""
    return kombu_url(os.environ.get("RELAY_BROKER_URL", _DEFAULT))


def kombu_url(url: str) -> str:
    """`unix:///path?db=1` as kombu's `redis+socket:`; any other URL as it is."""
    if urlsplit(url).scheme != "unix":
        return url
    address = Address.parse(url)
    login = f"{quote(address.username)}:{quote(address.password)}@" if address.password else ""
    return f"redis+socket://{login}{address.path}?virtual_host={address.db}"
