"""kombu's Redis transport, with the loss of a connection told as what it is.

kombu 5.7 asks a connection for the broker's address to put back or acknowledge what came over it,
also where the connection was taken apart before. That fails with an AttributeError, which nobody
takes for a lost connection: the worker ends. As a ConnectionError it is logged, and what was not
acknowledged is given out again.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """A channel that says when its connection is gone."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        _check(self)
        return super()._connparams(asynchronous)  # type: ignore[misc]


class SentinelChannel(redis.SentinelChannel):
    """The same where sentinels know the broker."""

    def _connparams(self, asynchronous: bool = False) -> Any:
        _check(self)
        return super()._connparams(asynchronous)  # type: ignore[misc]


def _check(channel: redis.Channel) -> None:
    if channel.connection.client is None:
        raise ConnectionError("the connection to the broker was lost")


class Transport(redis.Transport):
    """What redis://, rediss:// and redis+socket:// name in a worker."""

    Channel = Channel


class SentinelTransport(redis.SentinelTransport):
    """What sentinel:// names."""

    Channel = SentinelChannel


def install() -> None:
    """Have Celery use it in this process."""
    TRANSPORT_ALIASES.update(
        redis=f"{__name__}:Transport",
        rediss=f"{__name__}:Transport",
        sentinel=f"{__name__}:SentinelTransport",
    )
