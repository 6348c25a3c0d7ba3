"""What Python's collector of cycles costs a process that runs for months.

By default it looks through all new objects each 700 of them, and now and then through all that
there are: everything that was imported too, again and again, though none of it ever goes. What a
message needs dies with its last reference; cycles are rare, and few objects long.
"""

from __future__ import annotations

import gc

#: New objects before the youngest are looked through, and how often that before the next older
#: generation is: 10,000 take about half a millisecond, and as many may be garbage meanwhile.
_THRESHOLDS = (10_000, 10, 10)


def settle() -> None:
    """Say that the process has started: what it holds now stays, and is looked through no more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
