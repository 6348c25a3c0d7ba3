"""`make faults`: every fault under load, many times over; writes the table of docs/reliability.md.

With names of faults only those are done, and nothing is written.
"""

from __future__ import annotations

import argparse
import sys

from tests.faults import lanes
from tests.faults.table import lines, write


def main() -> int:
    """Exit code 1 where anything was lost, or doubled beyond the count."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(lanes.EVERY))
    parser.add_argument("--times", type=int, default=0, help="how often each is done")
    arguments = parser.parse_args()
    if unknown := set(arguments.faults) - set(lanes.EVERY):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    rows = lanes.run(arguments.faults or lanes.EVERY, arguments.times)
    print(lines(rows))
    broken = [f"{one.fault.name}: {fault}" for one in rows for fault in one.verdict.faults]
    broken += [f"{one.fault.name}: goes through all keys" for one in rows if one.heard.searches]
    print("\n".join(broken))
    if not arguments.faults and not broken:
        write(rows)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
