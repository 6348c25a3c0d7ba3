"""Message and delivery ids: sortable by time, unique without asking, and telling the partition.

A message id has 20 characters of Crockford's base 32 in lower case: 9 of time (milliseconds), 2 of
partition, 9 of chance. A delivery's id is its message's id, a dot and its number.
"""

from __future__ import annotations

import re
from functools import lru_cache

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PATTERN = re.compile(rf"[{ALPHABET}]{{20}}")
#: How many bits of chance `message_id` asks for.
CHANCE_BITS = 45

#: Two characters for ten bits.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def message_id(*, ms: int, partition: int, chance: int) -> str:
    """The id for a message accepted at `ms` (Unix time in milliseconds) into `partition`."""
    return f"{_time(ms)}{_PAIRS[partition]}{_nine(chance)}"


def _nine(number: int) -> str:
    """Nine characters for 45 bits."""
    return (
        _PAIRS[number >> 35 & 1023]
        + _PAIRS[number >> 25 & 1023]
        + _PAIRS[number >> 15 & 1023]
        + _PAIRS[number >> 5 & 1023]
        + ALPHABET[number & 31]
    )


#: Of a busy process several messages are accepted in a millisecond.
_time = lru_cache(maxsize=4)(_nine)


def is_message_id(text: str) -> bool:
    """Whether `text` has the form of a message id."""
    return _PATTERN.fullmatch(text) is not None


def partition_of(message: str) -> int:
    """The partition that an id names; of a delivery's id as well."""
    return ALPHABET.index(message[9]) * 32 + ALPHABET.index(message[10])


def with_partition(message: str, partition: int) -> str:
    """The id that differs from `message` in its partition alone."""
    return f"{message[:9]}{_PAIRS[partition]}{message[11:]}"


def delivery_id(message: str, number: int) -> str:
    """The id of the message's delivery with that number, counted from 0."""
    return f"{message}.{number}"


def message_of(delivery: str) -> tuple[str, int]:
    """The message id and number within a delivery's id."""
    message, _, number = delivery.partition(".")
    return message, int(number)
