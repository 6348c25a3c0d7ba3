"""`make faults`: every fault under load, many times over; writes the table of docs/reliability.md.

With names of faults only those are done, and nothing is written.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.faults.apart import APART
from tests.faults.faults import CATALOGUE, Fault
from tests.faults.row import Row, row
from tests.faults.stage import Stage
from tests.faults.table import lines, write
from tests.support.site import Site


def main() -> int:
    """Exit code 1 where anything was lost, or doubled beyond the count."""
    every = [*CATALOGUE, *APART]
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(every))
    parser.add_argument("--times", type=int, default=0, help="how often each is done")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(every):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    wanted = [name for name in every if name in arguments.faults] or every
    times = arguments.times
    rows = _together([CATALOGUE[name] for name in wanted if name in CATALOGUE], times)
    rows += [_told(APART[name].run(times)) for name in wanted if name in APART]
    print(lines(rows))
    broken = [f"{one.fault.name}: {fault}" for one in rows for fault in one.verdict.faults]
    print("\n".join(broken))
    if not arguments.faults and not broken:
        write(rows)
    return 1 if broken else 0


def _together(faults: Sequence[Fault], times: int) -> list[Row]:
    """One after the other in one system, which has to live through all of them."""
    if not faults:
        return []
    with Site() as site, Stage(site) as stage:
        return [_told(row(stage, fault, times or fault.times)) for fault in faults]


def _told(done: Row) -> Row:
    found = done.verdict
    print(
        f"{time.strftime('%H:%M:%S')} {done.fault.name}: {done.tried} times, {found.accepted} "
        f"accepted, {found.lost} lost, {found.doubled} doubled of {found.possible} possible, "
        f"{done.recovered:.1f} s; {len(found.faults)} faults",
        file=sys.stderr,
        flush=True,
    )
    return done


if __name__ == "__main__":
    sys.exit(main())
