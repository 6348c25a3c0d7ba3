"""The queue does what its model does, whatever is said to it, in whatever order."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.clock import ClockedServer
from tests.support.modelled.machine import QueueMachine

#: Sequences of calls to try, and calls in each at most. RELAY_MODEL_SEQUENCES has it run longer.
SEQUENCES = int(os.environ.get("RELAY_MODEL_SEQUENCES", "150"))
STEPS = int(os.environ.get("RELAY_MODEL_STEPS", "40"))

#: A failing sequence is made shorter only where somebody waits for it: that may take minutes.
PHASES = (
    Phase.explicit,
    Phase.generate,
    *((Phase.shrink,) if "RELAY_MODEL_SHRINK" in os.environ else ()),
)


@pytest.fixture
def clocked() -> Iterator[ClockedServer]:
    """A store whose clock the test moves; Debian's redis-server does not run under libfaketime."""
    server = ClockedServer()
    server.start()
    # So that trimming is exact: a stream forgets whole nodes only.
    server.command("CONFIG", "SET", "stream-node-max-entries", "1")
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
