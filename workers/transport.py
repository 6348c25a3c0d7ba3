"""kombu's Redis transport, with the loss of a connection told as what it is, and light wake-ups.

kombu 5.7 asks a connection for the broker's address to put back or acknowledge what came over it,
also where the connection was taken apart before. That fails with an AttributeError, which nobody
takes for a lost connection: the worker ends. As a ConnectionError it is logged, and what was not
acknowledged is given out again.

kombu notes each task in the broker when it takes it and strikes it out when it starts: two round
trips, each with a client made for it, and half of what a task costs a worker's own thread. A
wake-up may be lost, so it is noted in the process alone; a worker that ends in order puts back what
it did not begin, and after a kill the pump rings. A message to be submitted is noted as ever.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis, virtual

from relay.store import wakeup


class QoS(redis.QoS):
    """What was taken and is not acknowledged: wake-ups in memory, all else in the broker."""

    channel: Any
    _delivered: Any
    _dirty: Any

    def append(self, message: Any, delivery_tag: str) -> None:
        """A task was taken."""
        if message.headers.get("task") == wakeup.TASK:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """It starts, or is done."""
        if self._wake(delivery_tag) is not None:
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put it back for another worker, unless it was acknowledged."""
        wake = self._wake(tag)
        if wake is None:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        elif tag not in self._dirty:
            where = wake.delivery_info
            with self.channel.conn_or_acquire(client) as made, made.pipeline() as pipe:
                self.channel._do_restore_message(  # noqa: SLF001 - as kombu does for its own
                    wake._raw,  # noqa: SLF001
                    where["exchange"],
                    where["routing_key"],
                    pipe,
                    leftmost,
                )
                pipe.execute()

    def _wake(self, tag: str) -> Any:
        """The wake-up of that tag; None where it is none."""
        message = self._delivered.get(tag)
        return (
            message if message is not None and message.headers.get("task") == wakeup.TASK else None
        )


class Channel(redis.Channel):
    """A channel that says when its connection is gone."""

    QoS = QoS

    def _connparams(self, asynchronous: bool = False) -> Any:
        _check(self)
        return super()._connparams(asynchronous)  # type: ignore[misc]


class SentinelChannel(redis.SentinelChannel):
    """The same where sentinels know the broker."""

    QoS = QoS

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
