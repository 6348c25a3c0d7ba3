"""Ids sort by time, tell their partition and their message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.mail.ids import (
    CHANCE_BITS,
    delivery_id,
    is_message_id,
    message_id,
    message_of,
    partition_of,
)

MS = st.integers(0, 2**45 - 1)
PARTITION = st.integers(0, 1023)
CHANCE = st.integers(0, 2**CHANCE_BITS - 1)


@given(MS, PARTITION, CHANCE)
def test_an_id_tells_its_partition_and_has_the_form_of_one(
    ms: int, partition: int, chance: int
) -> None:
    found = message_id(ms=ms, partition=partition, chance=chance)
    assert is_message_id(found)
    assert partition_of(found) == partition


@given(MS, MS, PARTITION, CHANCE)
def test_ids_sort_by_time(one: int, other: int, partition: int, chance: int) -> None:
    ids = [message_id(ms=ms, partition=partition, chance=chance) for ms in (one, other)]
    assert (ids[0] < ids[1]) == (one < other)


@given(st.tuples(MS, PARTITION, CHANCE), st.tuples(MS, PARTITION, CHANCE))
def test_different_numbers_make_different_ids(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    first, second = (
        message_id(ms=ms, partition=partition, chance=chance)
        for ms, partition, chance in (one, other)
    )
    assert (first == second) == (one == other)


def test_a_delivery_id_tells_its_message_and_number() -> None:
    message = message_id(ms=1, partition=2, chance=3)
    assert message_of(delivery_id(message, 17)) == (message, 17)
    assert partition_of(delivery_id(message, 17)) == 2


def test_other_texts_are_no_ids() -> None:
    good = message_id(ms=1, partition=0, chance=2**CHANCE_BITS - 1)
    for text in ("", good[:-1], good + "0", good[:-1] + "u", good.upper(), good + "\n"):
        assert not is_message_id(text)
