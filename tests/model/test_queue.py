"""The queue does what its model does, whatever is said to it, in whatever order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.clock import ClockedServer
from tests.support.modelled.machine import QueueMachine

#: Sequences of calls to try, and calls in each at most. RELAY_MODEL_SEQUENCES has it run longer.
SEQUENCES = int(os.environ.get("RELAY_MODEL_SEQUENCES", "100"))
STEPS = int(os.environ.get("RELAY_MODEL_STEPS", "40"))

#: A failing sequence is made shorter only where somebody waits for it: that may take minutes.
PHASES = (
    Phase.explicit,
    Phase.generate,
    *((Phase.shrink,) if "RELAY_MODEL_SHRINK" in os.environ else ()),
)


@pytest.fixture(params=["valkey", "redis-7.0"])
def clocked(request: pytest.FixtureRequest) -> Iterator[ClockedServer]:
    """A store of each kind, whose clock the test moves."""
    binary = "" if request.param == "valkey" else shutil.which("redis-server")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("redis-server is missing")
        pytest.skip("redis-server is missing")
    server = ClockedServer(binary)
    server.start()
    yield server
    server.remove()


@pytest.mark.timeout(0)
def test_whatever_is_said_in_whatever_order_the_queue_does_as_its_model(
    clocked: ClockedServer,
) -> None:
    class Machine(QueueMachine):
        server = clocked

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize="RELAY_MODEL_SEQUENCES" not in os.environ,
            database=None,
            print_blob=True,
            phases=PHASES,
        ),
    )
