"""Label sets that cannot grow: children are made beforehand, the unknown counts as other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Protocol, Self, TypeVar

#: The label value of whatever was not foreseen.
OTHER = "other"


class _Labelled(Protocol):
    def labels(self, *labelvalues: str) -> Self:
        """The child with these values of the labels."""


_M = TypeVar("_M", bound=_Labelled)


class Bounded(dict[str | tuple[str, ...], _M]):
    """The children of an instrument, by their label's value, or by a tuple where it has several.

    A look-up costs a tenth of `labels(...)`, and no remote text can make a new series. As all of
    them exist from the start, at 0, rate() sees the first event too.
    """

    def __init__(self, instrument: _M, *values: Sequence[str]) -> None:
        self._values: list[tuple[str, ...]] = [(*label, OTHER) for label in values]
        children = {chosen: instrument.labels(*chosen) for chosen in product(*self._values)}
        single = len(values) == 1
        super().__init__({c[0] if single else c: child for c, child in children.items()})

    def __missing__(self, key: str | tuple[str, ...]) -> _M:
        if isinstance(key, str):
            return self[OTHER]
        known = zip(key, self._values, strict=True)
        return self[tuple(value if value in values else OTHER for value, values in known)]
