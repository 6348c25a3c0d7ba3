"""The limits that children inherit from `relay up`: as many open files as it may have."""

from __future__ import annotations

import resource

#: More is of no use to one process, and some programs walk through all they may have.
_MOST_FILES = 65_536


def raise_open_files() -> None:
    """Lift the soft limit on open files: each session is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
