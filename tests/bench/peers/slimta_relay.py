"""A relay of python-slimta's parts: SMTP in, queue in Redis, to MX hosts; runs in its own venv.

    python slimta_relay.py HOST:PORT REDIS_PORT

SIGUSR1 has all that is deferred attempted again.
"""

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()

import signal  # noqa: E402 - everything else only after the patch
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402
import pycares  # type: ignore[import-not-found] # noqa: E402
from slimta.edge.smtp import SmtpEdge  # type: ignore[import-not-found] # noqa: E402
from slimta.policy.split import (  # type: ignore[import-not-found] # noqa: E402
    RecipientDomainSplit,
)
from slimta.queue import Queue  # type: ignore[import-not-found] # noqa: E402
from slimta.redisstorage import RedisStorage  # type: ignore[import-not-found] # noqa: E402
from slimta.relay.smtp.mx import MxSmtpRelay  # type: ignore[import-not-found] # noqa: E402
from slimta.util.dns import DNSResolver  # type: ignore[import-not-found] # noqa: E402

#: Attempts at once, as many as tuned Postfix may have processes.
_ATTEMPTS = 100
#: Seconds.
_IDLE, _TIMEOUT, _BACKOFF, _PATIENCE = 10, 60, 300, 20


def _wait_for(port: int) -> None:
    """Until the store takes connections."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def main(submission: str, store_port: int) -> None:
    """Serve until it is killed."""
    _wait_for(store_port)
    # Else c-ares closes sockets that gevent still watches, and gevent gives up.
    DNSResolver.channel = pycares.Channel(flags=pycares.ARES_FLAG_STAYOPEN)
    relay = MxSmtpRelay(
        ehlo_as="slimta.bench.test",
        connect_timeout=20,
        command_timeout=_TIMEOUT,
        data_timeout=_TIMEOUT,
        idle_timeout=_IDLE,
    )
    queue = Queue(
        RedisStorage(port=store_port),
        relay,
        backoff=lambda _, attempts: _BACKOFF * attempts,
        relay_pool=_ATTEMPTS,
    )
    queue.add_policy(RecipientDomainSplit())
    queue.start()
    gevent.signal_handler(signal.SIGUSR1, queue.flush)
    host, _, port = submission.rpartition(":")
    edge = SmtpEdge((host, int(port)), queue)
    edge.start()
    edge.get()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
