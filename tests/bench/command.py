"""The command: runs cases with systems in turn, writes a line of JSON each, and shows the table."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import structs
from rich.console import Console

from tests.bench import machine, plots, table
from tests.bench.cases import all_cases
from tests.bench.checks import is_right
from tests.bench.figures import Case, Figures, Load
from tests.bench.injector import inject
from tests.bench.sandbox import Sandbox, enter, inside, start_dns
from tests.bench.sink import Listener, sink
from tests.bench.stage import Stage
from tests.bench.systems import QUICK, SYSTEMS, usable

_HOME = Path(__file__).parent
_IMAGES = _HOME.parents[1] / "docs" / "images"
_CEILING = Load(messages=20_000)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--case", default="", help="cases, such as A,B (all of them)")
    parser.add_argument("--system", default="", help="systems, such as relay,postfix (all of them)")
    parser.add_argument("--rounds", type=int, default=0, help="runs of each (3; quick: 1)")
    parser.add_argument("--repeats", type=int, default=1, help="of a disturbed run, at most (1)")
    parser.add_argument("--quick", action="store_true", help="A, B and D, fewer messages")
    parser.add_argument("--messages", type=int, default=0, help="instead of the cases' own counts")
    parser.add_argument("--out", type=Path, help="where the lines go (tests/bench/results/...)")
    parser.add_argument("--show", type=Path, help="show the table of an earlier run's lines")
    parser.add_argument("--plot", type=Path, help="draw an earlier run's lines, see --images")
    parser.add_argument("--images", type=Path, default=_IMAGES, help="where to (docs/images)")
    return parser.parse_args(words)


def main() -> int:
    """The exit code: 0 where all was measured and no message was lost, doubled or changed."""
    asked = arguments()
    console = Console(width=None if sys.stdout.isatty() else 160)
    if asked.show or asked.plot:
        results = _read(asked.show or asked.plot)
        if asked.show:
            table.show(all_cases(), results, console)
        else:
            for path in plots.draw(all_cases(), results, asked.images):
                console.print(f"drawn: {path}", soft_wrap=True)
        return 0
    if not inside():
        for name in _wanted(asked):
            SYSTEMS[name].install()
    sandbox = enter()
    # As the first process of its namespace it would otherwise not be ended by SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Two benchmarks of one checkout have the same process id, each in a namespace of its own.
    place = _HOME / "results" / f"run-{os.stat('/proc/self/ns/pid').st_ino}-{os.getpid()}"
    place.mkdir(parents=True, exist_ok=True)
    dns = start_dns(sandbox, place)
    try:
        code = _Bench(asked, sandbox, place, console).run()
    finally:
        dns.terminate()
        dns.wait()
    if code == 0:
        # Otherwise logs and queues of the last run are left to be looked at.
        shutil.rmtree(place, ignore_errors=True)
    return code


def _read(path: Path) -> list[Figures]:
    """The runs of a file of lines."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [one for one in lines if "case" in one]


def _wanted(asked: argparse.Namespace) -> list[str]:
    """The systems that are asked for."""
    if asked.system:
        return str(asked.system).split(",")
    return list(QUICK if asked.quick else SYSTEMS)


class _Bench:
    """One run of the benchmark."""

    def __init__(
        self, asked: argparse.Namespace, sandbox: Sandbox, place: Path, console: Console
    ) -> None:
        self._asked = asked
        self._sandbox = sandbox
        self._place = place
        self._console = console
        self._cases = self._chosen_cases()
        self._systems, lines = usable(_wanted(asked), private=sandbox.private)
        for line in lines:
            console.print(line, highlight=False)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self._out: Path = asked.out or _HOME / "results" / f"{stamp}.jsonl"

    def run(self) -> int:
        """All cases, all rounds, all systems."""
        self._write({"machine": machine.describe(self._place), "ceiling_per_s": self._ceiling()})
        results = [self._undisturbed(*what) for what in self._plan()]
        table.show(self._cases, results, self._console)
        plots.draw(self._cases, results, self._out.with_suffix(""))
        self._console.print(f"lines: {self._out}")
        return 1 if any("error" in one or not is_right(one) for one in results) else 0

    def _chosen_cases(self) -> dict[str, Case]:
        every, names = all_cases(), self._asked.case.upper().split(",")
        if self._asked.case:
            return {name: every[name] for name in names}
        if self._asked.quick:
            return {name: case for name, case in every.items() if case.quick is not None}
        return every

    def _plan(self) -> Iterator[tuple[Case, str, int]]:
        """Systems take turns within a round, and the first one is another in the next round."""
        rounds = self._asked.rounds or (1 if self._asked.quick else 3)
        for number in range(rounds):
            for case in self._cases.values():
                for system in self._systems[:: -1 if number % 2 else 1]:
                    fit = case.name not in SYSTEMS[system].unfit
                    if fit and system in (case.systems or SYSTEMS):
                        yield case, system, number

    def _load(self, case: Case) -> Load:
        load = case.quick if self._asked.quick and case.quick else case.load
        if self._asked.messages:
            load = structs.replace(load, messages=self._asked.messages)
        return load

    def _undisturbed(self, case: Case, system: str, number: int) -> Figures:
        """One run, repeated where others took too much of the machine meanwhile."""
        for _ in range(1 if self._asked.quick else self._asked.repeats + 1):
            figures = self._once(case, system, number)
            self._write(figures)
            if figures.get("foreign_cpu", 0.0) <= table.DISTURBED:
                break
        return figures

    def _once(self, case: Case, system: str, number: int) -> Figures:
        load = self._load(case)
        about = {
            "case": case.name,
            "system": system,
            "round": number,
            "at": time.strftime("%H:%M:%S"),
            **structs.asdict(load),
        }
        try:
            with machine.alone():
                under_test = SYSTEMS[system](self._sandbox, case, self._place)
                figures = case.script(Stage(case, load, under_test, self._sandbox, self._place))
        except Exception as error:  # noqa: BLE001 - the other runs are to go on
            traceback.print_exc()
            return {**about, "error": repr(error)}
        return {**about, "counted_by": under_test.group.way, **figures}

    def _ceiling(self) -> float:
        """What injector and sink do without a system between: messages a second."""
        place = ("127.0.0.1", 2526)
        with machine.alone(), sink(self._place, [Listener(*place)]):
            return round(inject(_CEILING, place, limit=20.0).rate)

    def _write(self, figures: Figures) -> None:
        line = json.dumps(figures)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        with self._out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
