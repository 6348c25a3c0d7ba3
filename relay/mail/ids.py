"""Message and delivery ids: sortable by time, unique without asking, and telling the partition.

A message id has 20 characters of Crockford's base 32 in lower case: 9 of time (milliseconds), 2 of
partition, 9 of chance. A delivery's id is its message's id, a dot and its number.
"""

from __future__ import annotations

import re

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PATTERN = re.compile(rf"[{ALPHABET}]{{20}}")
#: How many bits of chance `message_id` asks for.
CHANCE_BITS = 45


#: Two characters for ten bits: ten look-ups make an id.
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_SHIFTS = tuple(range(90, -1, -10))


def message_id(*, ms: int, partition: int, chance: int) -> str:
    """The id for a message accepted at `ms` (Unix time in milliseconds) into `partition`."""
    number = (ms << 55) | (partition << 45) | chance
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])


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
