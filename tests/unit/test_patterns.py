"""Regular expressions that every supported Python matches alike, and in linear time."""

from __future__ import annotations

import re
import re._constants as code  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterable, Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest

import relay.mail
from relay.mail.control import _pattern

_CHARACTERS = (code.IN, code.LITERAL, code.NOT_LITERAL, code.ANY)


def _patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for found in walk_packages(relay.mail.__path__, "relay.mail."):
        for name, value in vars(import_module(found.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{found.name}.{name}", value
    yield "relay.mail.control._pattern", _pattern("Idempotency-Key")[1]


def _inner(op: Any, value: Any) -> Iterable[Any]:
    if op in (code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT):
        return [value[2]]
    if op is code.SUBPATTERN:
        return [value[3]]
    if op in (code.ASSERT, code.ASSERT_NOT):
        return [value[1]]
    if op is code.ATOMIC_GROUP:
        return [value]
    return value[1] if op is code.BRANCH else []


def _wrong_in_3_11_2(parsed: Any) -> bool:
    return any(
        (op is code.POSSESSIVE_REPEAT and not _is_a_character(value[2]))
        or any(map(_wrong_in_3_11_2, _inner(op, value)))
        for op, value in parsed
    )


def _is_a_character(parsed: Any) -> bool:
    return len(parsed) == 1 and parsed[0][0] in _CHARACTERS


@pytest.mark.parametrize(
    ("name", "pattern"), [pytest.param(*one, id=one[0]) for one in _patterns()]
)
def test_only_single_characters_are_repeated_possessively(
    name: str, pattern: re.Pattern[Any]
) -> None:
    """`a(?:-a)*+` takes the "-" of "a-!", too, in Python 3.11.2, which Debian 12 has."""
    flags = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
    assert not _wrong_in_3_11_2(parser.parse(pattern.pattern, flags)), name


def test_the_test_knows_such_a_pattern() -> None:
    assert _wrong_in_3_11_2(parser.parse(r"x(?:[a]|\\b)*+y"))
    assert _wrong_in_3_11_2(parser.parse(r"x(?>(?:-a++)++)"))
    assert not _wrong_in_3_11_2(parser.parse(r"x[a]*+(?>(?:\\b[a]*+)*)y"))
