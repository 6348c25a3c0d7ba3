"""Every key of an egress path: its name, its type and what it holds.

All keys of one path share a hash tag, apart from those of any partition. They are limits, not mail:
each lives for an hour unused, and a path whose keys are gone starts again with its initial window.

| key `relay:{s:<source>|<site>}:` | type | holds |
|---|---|---|
| `conns` | zset | token, or `@queue` for a queue that was rung -> expiry, ms |
| `state` | hash | the fields below |
| `rates` | hash | `deliveries`, `connections` -> GCRA's theoretical arrival time, us |
| `waiting` | zset | queue refused a connection -> since when, ms |
| `drawn:<holder>` | string, 2 min | what its last enter drew from the rates, and when |
| `told:<holder>` | string, 2 min | its last leave, and the queues that it named |

Fields of `state`: `window`, `success`, `failure`, `cohorts`, `refused`, `limited` (the feedback);
`until`, `pause`, `deaths`, `probe` (the breaker; `until` is 0 while it is closed); `reply` (of the
last failure); `seen` (the last call, ms); `grace` (when connections outlived an absence, ms).
"""

from __future__ import annotations

from functools import lru_cache


class PathKeys:
    """The names of one path's keys."""

    __slots__ = ("conns", "prefix", "rates", "state", "waiting")

    def __init__(self, source: str, site: str) -> None:
        self.prefix = prefix = f"relay:{{s:{source}|{site}}}:"
        self.conns = prefix + "conns"
        self.state = prefix + "state"
        self.rates = prefix + "rates"
        self.waiting = prefix + "waiting"

    def drawn(self, holder: str) -> str:
        """What the holder's last call of enter drew."""
        return f"{self.prefix}drawn:{holder}"

    def told(self, holder: str) -> str:
        """What the holder's last call of leave said."""
        return f"{self.prefix}told:{holder}"


@lru_cache(maxsize=10_000)
def path_keys(source: str, site: str) -> PathKeys:
    """The keys of an egress path; neither name may have a brace, which would end the hash tag."""
    if "{" in source + site or "}" in source + site:
        raise ValueError(f"not a name in a hash tag: {source!r}, {site!r}")
    return PathKeys(source, site)
