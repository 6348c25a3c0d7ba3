"""A short run of the fault suite (`make faults` is the long one): a bit of everything, once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.faults import CATALOGUE, Fault
from tests.faults.overheard import Overheard
from tests.faults.row import row
from tests.faults.stage import Stage
from tests.support.site import Site

#: How often each is done here.
SHORT = {
    "admit": 1, "http": 1, "dot": 2, "settle": 1, "projector": 2, "random": 2, "store": 1,
    "broker": 1, "cut": 6, "answers": 7,
}  # fmt: skip


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Three workers, whose leases are far shorter than the longest transactions."""
    with Site() as site, Stage(site) as made:
        yield made


@pytest.mark.timeout(240)
def test_whatever_goes_wrong_nothing_is_lost_and_no_more_doubled_than_is_counted(
    stage: Stage,
) -> None:
    def happens(stage: Stage, _: int) -> int:
        return sum(CATALOGUE[name].happens(stage, times) for name, times in SHORT.items())

    mixed = Fault("mixed", "a bit of everything", happens, 1, rate=30.0)
    done = row(stage, mixed, 1)
    assert done.tried >= sum(SHORT.values()) - 3
    done.verdict.assert_kept()
    assert done.verdict.accepted > 100
    assert done.verdict.dsns


def test_nobody_looks_through_all_keys_and_no_script_takes_long(stage: Stage) -> None:
    def happens(_stage: Stage, _times: int) -> int:
        time.sleep(3)
        return 0

    calm = Fault("calm", "nothing", happens, 1, rate=100.0)
    with Overheard(stage.store) as overheard:
        row(stage, calm, 1).verdict.assert_kept()
        heard = overheard.heard()
    assert heard.scripts > 500
    heard.assert_harmless()
