"""What was looked up, kept until its time is over and while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar


class Expiring(Protocol):
    """A value that says until when it holds."""

    @property
    def expires(self) -> float:
        """The time, by the cache user's clock, from which the value is not used any more."""


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Expiring)


class Cache(Generic[Key, Value]):
    """At most `most` values; the one not used for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key, now: float) -> Value | None:
        """The value, or None where there is none or its time is over."""
        value = self._values.get(key)
        if value is None:
            return None
        if value.expires <= now:
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep the value, in place of another with that key."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
