"""Which hosts of a domain are tried, and in what order (RFC 5321 section 5.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

Choice = TypeVar("Choice")


def without_own(
    mx: Iterable[tuple[int, str]], own_names: Collection[str]
) -> tuple[tuple[int, str], ...]:
    """The hosts that are better than ourselves; all of them where we are not among them.

    Our own host and every host of equal or worse preference go, or mail would run in a circle
    (RFC 5321 section 5.1). Nothing is left where we are the best host: a loop.
    """
    hosts = tuple(mx)
    ours = min((preference for preference, name in hosts if name in own_names), default=None)
    if ours is None:
        return hosts
    return tuple((preference, name) for preference, name in hosts if preference < ours)


def in_order(
    mx: Iterable[tuple[int, str]], chance: Callable[[], float]
) -> tuple[tuple[int, str], ...]:
    """Hosts by preference, those of equal preference in random order.

    `chance` gives a number from 0 to 1 for each host.
    """
    return tuple(host for _, _, host in sorted((host[0], chance(), host) for host in mx))


def candidates(hosts: Sequence[Sequence[Choice]], most: int) -> tuple[Choice, ...]:
    """At most `most` of the addresses of `hosts`, in the order of the hosts.

    Which ones is decided in rounds, one address of each host a round, so that a host with many
    addresses does not keep the next host from being tried.
    """
    counts = [0] * len(hosts)
    left = most
    while left > 0:
        open_hosts = [i for i, choices in enumerate(hosts) if counts[i] < len(choices)][:left]
        if not open_hosts:
            break
        for i in open_hosts:
            counts[i] += 1
        left -= len(open_hosts)
    return tuple(
        choice for choices, count in zip(hosts, counts, strict=True) for choice in choices[:count]
    )
