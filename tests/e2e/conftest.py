"""A system that the tests of a module share: each uses domains of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.site import Site
from tests.support.system import System


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The hosts."""
    with Site() as made:
        yield made


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[System]:
    """One worker; deferred deliveries are attempted again after a second; 127.9.0.0/16 counts as
    private and is not to be connected to."""
    variables = {"RELAY_RETRY__FIRST": "1s", "RELAY_DELIVERY__PRIVATE_TARGETS": "127.0.0.0/13"}
    with System(site, variables) as made:
        yield made


@pytest.fixture
def system(shared: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The shared system; shows its logs where the test fails."""
    failed = request.session.testsfailed
    yield shared
    if request.session.testsfailed > failed:
        shared.show()
