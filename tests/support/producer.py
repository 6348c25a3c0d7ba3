"""What producers have in common: a thread that submits, and knows what was accepted."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import uvloop


@dataclass(frozen=True)
class Post:
    """A message to submit; `id` is its X-Test-Id."""

    id: str
    recipients: tuple[str, ...]
    content: bytes
    sender: str = "sender@origin.test"
    #: Parameters of MAIL, such as BODY=8BITMIME.
    parameters: str = ""


@dataclass(kw_only=True)
class Producer:
    """Submits in a thread of its own; `wait` until all is accepted. Use as a context."""

    #: Messages a second at most; 0 for as many as it can.
    rate: float = 0.0
    #: X-Test-Id -> message id, in the order of acceptance.
    accepted: dict[str, str] = field(default_factory=dict)
    #: X-Test-Id -> `time.monotonic()` of its acceptance.
    accepted_at: dict[str, float] = field(default_factory=dict)
    #: Refusals, by what was said; messages whose answer was lost (they may have been accepted).
    refusals: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    #: What was submitted so far, accepted or not.
    drawn: list[Post] = field(default_factory=list)

    def to_draw(self) -> Iterable[Post]:
        """The posts, drawn as they are needed, by the producer's thread."""
        raise NotImplementedError

    async def work(self) -> None:
        """Submit what there is to `take`, until there is no more."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._fresh: Iterator[Post] = iter(self.to_draw())
        self._again: deque[Post] = deque()
        self._failure: BaseException | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop = True
        self._thread.join()

    def wait(self, seconds: float) -> None:
        """Until all is accepted."""
        self._thread.join(seconds)
        if self._failure is not None:
            raise self._failure
        assert not self._thread.is_alive(), f"not all accepted: {self.refusals[-3:]}"

    def enough(self) -> None:
        """Draw no more of the posts; what was drawn is still submitted until it is accepted."""
        self._fresh = iter(())

    @property
    def stopped(self) -> bool:
        """Nobody waits for what it does any more."""
        return self._stop

    def take(self) -> Post | None:
        """The next one to submit."""
        if self._again:
            return self._again.popleft()
        one = next(self._fresh, None)
        if one is not None:
            self.drawn.append(one)
        return one

    def put_back(self, one: Post) -> None:
        """It was not accepted, as far as is known."""
        self._again.append(one)

    def _run(self) -> None:
        async def all_of_it() -> None:
            await self.work()

        try:
            uvloop.run(all_of_it())
        except BaseException as error:  # noqa: BLE001 - handed to the test by `wait`
            self._failure = error

    async def pause(self, share: int) -> None:
        """What one of so many clients waits between two messages."""
        if self.rate:
            await asyncio.sleep(share / self.rate)
