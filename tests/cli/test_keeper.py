"""How one child is kept running, given up and stopped; the children are small Python programs."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from relay.cli import exits
from relay.cli.up.child import Child, Program
from relay.cli.up.keeper import GaveUp, Keeper
from relay.cli.up.report import Report
from relay.cli.up.supervisor import Supervisor

OBEDIENT = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)
#: Ends by itself the first two times.
FLAKY = (
    "import pathlib, sys, time; count = pathlib.Path(sys.argv[1]); "
    "count.write_text(count.read_text() + 'x' if count.exists() else 'x'); "
    "print('up', flush=True); time.sleep(600 if len(count.read_text()) > 2 else 0)"
)


@pytest.fixture
def report() -> Report:
    return Report(Console(file=io.StringIO(), width=200))


def told(report: Report) -> str:
    assert isinstance(report.console.file, io.StringIO)
    return report.console.file.getvalue()


def child(tmp_path: Path, code: str, *, name: str = "child", grace: float = 10.0) -> Child:
    argv = (sys.executable, "-c", code, str(tmp_path / "count"))
    return Child(Program(name, argv, {}, grace), tmp_path / f"{name}.log")


def keeper(one: Child, report: Report, *, starts: int = 1, patience: float = 20.0) -> Keeper:
    """Ready once it has said so as often as `starts`."""

    async def ready() -> bool:
        return one.log.exists() and one.log.read_text().count("up") >= starts

    return Keeper(one, ready, patience, report)


async def test_a_child_that_ends_is_started_again(tmp_path: Path, report: Report) -> None:
    supervisor, flaky = Supervisor(), child(tmp_path, FLAKY)
    async with asyncio.timeout(20):
        await supervisor.start([keeper(flaky, report, starts=3)])
    assert (tmp_path / "count").read_text() == "xxx"
    assert told(report).count("ended  with exit code 0") == 2
    await supervisor.stop()
    assert not flaky.alive


@pytest.mark.parametrize(
    ("code", "final"), [(exits.USAGE, exits.USAGE), (exits.UNAVAILABLE, 3), (9, exits.FAILED)]
)
async def test_a_child_that_never_gets_ready_is_given_up(
    tmp_path: Path, report: Report, code: int, final: int
) -> None:
    supervisor = Supervisor()
    broken = keeper(
        child(tmp_path, f"import sys; print('because'); sys.exit({code})"), report, patience=99
    )
    starting = asyncio.create_task(supervisor.start([broken]))
    async with asyncio.timeout(30):
        await asyncio.sleep(0)
        with pytest.raises(GaveUp, match="child cannot be kept running") as caught:
            await supervisor.watch()
    assert caught.value.code == final
    assert "    because" in told(report)
    starting.cancel()
    await supervisor.stop()


async def test_a_fault_in_the_settings_is_not_tried_again(tmp_path: Path, report: Report) -> None:
    supervisor = Supervisor()
    broken = keeper(child(tmp_path, "import sys; sys.exit(2)"), report)
    starting = asyncio.create_task(supervisor.start([broken]))
    async with asyncio.timeout(20):
        await asyncio.sleep(0)
        with pytest.raises(GaveUp):
            await supervisor.watch()
    assert "again in" not in told(report)
    starting.cancel()
    await supervisor.stop()


async def test_stages_are_stopped_last_first(tmp_path: Path, report: Report) -> None:
    supervisor = Supervisor()
    names = ("store", "broker", "smtp")
    children = {name: child(tmp_path, OBEDIENT, name=name) for name in names}
    async with asyncio.timeout(20):
        await supervisor.start(*([keeper(one, report)] for one in children.values()))
        await supervisor.stop()
    stopped = [line.split()[1] for line in told(report).splitlines() if "stopped" in line]
    assert stopped == ["smtp", "broker", "store"]


async def test_a_child_that_will_not_end_is_killed_when_its_grace_is_over(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.cli.up.child._HURRY", 0.1)
    supervisor, stubborn = Supervisor(), child(tmp_path, STUBBORN, grace=0.2)
    async with asyncio.timeout(20):
        await supervisor.start([keeper(stubborn, report)])
        await supervisor.stop()
    assert await stubborn.ended() == -9


async def test_haste_ends_the_grace_at_once(tmp_path: Path, report: Report) -> None:
    supervisor, stubborn = Supervisor(), child(tmp_path, STUBBORN, grace=600)
    async with asyncio.timeout(20):
        await supervisor.start([keeper(stubborn, report)])
        for haste in supervisor.haste:
            haste.set()
        await supervisor.stop()
    assert await stubborn.ended() == -9


async def test_a_log_that_has_grown_is_moved_aside_while_its_child_writes(
    tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.cli.up.child._LOG_SIZE", 1000)
    code = "import time\nfor _ in range(100000): print('up' * 50, flush=True); time.sleep(0.001)"
    supervisor, talker = Supervisor(), child(tmp_path, code)
    async with asyncio.timeout(20):
        await supervisor.start([keeper(talker, report, starts=2000)])
        talker.rotate()
        first = (tmp_path / "child.log.1").stat().st_size
        while talker.log.stat().st_size == 0:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
        await supervisor.stop()
    assert first > 1000
    assert talker.log.read_bytes()[:2] == b"up", "it writes on at the new end, not at the old one"
