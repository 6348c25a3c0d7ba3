"""A message that ends every worker that touches it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.proxy import Point
from tests.faults.stage import LEASE_S, Stage
from tests.support.source import Post, post

MARK = b"X-Poison: yes"
#: When its content comes from the store; when the host has answered its final dot.
TOUCHED: Point = ("marked", "after")
ANSWERED: Point = ("marked dot", "after")


def poisoned(id_: str, recipient: str) -> Post:
    """The message."""
    clean = post(id_, recipient)
    head, _, body = clean.content.partition(b"\r\n\r\n")
    return Post(id_, clean.recipients, b"%b\r\n%b\r\n\r\n%b" % (head, MARK, body))


def deaths(stage: Stage, point: Point, most: int = 12) -> Iterator[int]:
    """Each time that it ended a worker, until it does so no more."""
    for n in range(most):
        if not stage.kill_at("worker", point, seconds=8 * LEASE_S):
            return
        yield n
