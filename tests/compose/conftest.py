"""One engine and one stack for all that is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compose import images, parts
from tests.compose.engine import Engine
from tests.compose.stack import Stack

_CHECKOUT = Path(__file__).parents[2]
_CACHE = _CHECKOUT / ".compose-test"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    assert os.getuid() == 0, "an engine needs root: run make compose-test as root"
    parts.fetch(_CACHE)
    engine = Engine(_CACHE)
    with ExitStack() as stack:
        stack.callback(engine.stop)
        engine.start()
        images.make(engine, _CHECKOUT, _CACHE)
        yield engine


@pytest.fixture(scope="session")
def stack(engine: Engine) -> Iterator[Stack]:
    stack = Stack(engine, _CHECKOUT)
    # All roles have one image.
    stack.compose("build", "--quiet", "worker")
    try:
        stack.up()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "5")
