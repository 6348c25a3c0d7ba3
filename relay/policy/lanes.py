"""What a delivery costs its lane: the price of a turn in start-time fair queueing."""

from __future__ import annotations

from functools import lru_cache

from relay.mail.envelope import Priority

#: Virtual time that a delivery of weight 1 takes. Normal mail gets eight turns for one of low.
_PRICE = {Priority.HIGH: 125, Priority.NORMAL: 1000, Priority.LOW: 8000}
MOST_WEIGHT = 100


@lru_cache(maxsize=len(_PRICE) * MOST_WEIGHT)
def cost(priority: Priority, weight: int) -> int:
    """The virtual time that a delivery takes: less for a higher class or weight (1 to 100)."""
    return max(1, _PRICE[priority] // max(1, min(weight, MOST_WEIGHT)))
