"""How much an instrument moved: its value now less that at the beginning."""

from __future__ import annotations

from relay import metrics


class Counted:
    """A series of this process, from now on."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name = name
        self._labels = labels
        self._before = self._now()

    def _now(self) -> float:
        return metrics.PROCESS.get_sample_value(self._name, self._labels) or 0.0

    @property
    def more(self) -> float:
        """By how much it has grown."""
        return self._now() - self._before
