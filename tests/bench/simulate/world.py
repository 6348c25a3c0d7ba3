"""The world of a simulation: domains with their share of the mail, the sites that they belong to,
what those do to mail, and who sends it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from msgspec import Struct

from relay.mail.envelope import Priority
from relay.policy.lanes import cost
from relay.policy.shaping import Override, Shaping, rate_of
from relay.policy.site import site_name
from relay.store.keys import lane

_MINUTE = 60_000
#: The five large sites: what is special, ms a transaction, sessions that they take (0: any).
_LARGE = (
    ("fast", 100, 0),
    ("limited", 100, 0),
    ("away", 100, 0),
    ("few", 100, 50),
    ("slow", 1000, 0),
)
#: Of all mail: for the five large domains themselves; the others share the rest by rank (Zipf).
_LARGE_SHARE, _RANKS = 0.4, 0.9
#: Every so many-th of the other domains is hosted at a large site: they get half of it all.
_HOSTED = 6
#: The limited site may have one in so many of all messages in an hour, and so many at once.
_HOURLY, _BURST = 8, 50
#: Other domains with a smaller rank than this behave well.
_PLAIN = 0.01


class Host(Struct, frozen=True):
    """What a site does to mail."""

    service_ms: int
    #: Sessions at once; 421 beyond. 0: no limit.
    most: int = 0
    #: Connections are refused from and until.
    away: tuple[int, int] = (0, 0)
    #: What comes for a domain sooner after its first mail is deferred.
    greylist_ms: int = 0
    kind: str = "plain"


class Sender(Struct, frozen=True):
    """A tenant: the messages that it has at once, or else at an even pace."""

    tenant: str
    messages: int
    #: 0: all at once.
    over_ms: int = 0
    weight: int = 1

    @property
    def lane(self) -> str:
        """As the store names it."""
        return lane(Priority.NORMAL, self.tenant)

    @property
    def cost(self) -> int:
        """What a delivery costs the lane."""
        return cost(Priority.NORMAL, self.weight)


def is_steady(lane: str) -> bool:
    """Whether a lane is of a tenant whose mail comes all the time."""
    return lane[1:].startswith("steady")


class World(Struct, frozen=True):
    """Everything that is outside of Relay."""

    domains: tuple[str, ...]
    #: Of the mail, summed up: what bisection looks in.
    shares: tuple[float, ...]
    site_of: dict[str, str]
    hosts: dict[str, Host]
    #: The five large sites by what is special about them.
    large: dict[str, str]
    senders: tuple[Sender, ...]
    shaping: Shaping

    def soonest_ms(self, site: str, messages: int) -> float:
        """When the last of so many messages could leave for a site, if all that it takes were used
        from its first moment on."""
        host, limits = self.hosts[site], self.shaping.limits("", site)
        sessions = min(limits.connections, host.most or limits.connections)
        took = messages * host.service_ms / min(sessions, max(messages, 1))
        if limits.delivery_rate is not None:
            took = max(took, messages * limits.delivery_rate.every_us / 1000)
        from_ms, until_ms = host.away
        return took if took < from_ms else took + until_ms - from_ms


def world(messages: int, domains: int, *, hour_ms: int, troubled: bool = True) -> World:
    """So many messages to so many domains; `hour_ms` is how long mail keeps coming.

    `troubled`: there are tarpits, outages, greylisting and hosts that take few sessions.
    """
    names = [f"{kind}.test" for kind, _, _ in _LARGE]
    names += [f"d{number}.test" for number in range(domains - len(names))]
    sites, hosts = [], {}
    large = {kind: site_name([f"mx{n}.{kind}.test" for n in range(3)]) for kind, _, _ in _LARGE}
    for kind, service_ms, most in _LARGE:
        away = (hour_ms // 12, hour_ms // 3) if kind == "away" and troubled else (0, 0)
        hosts[large[kind]] = Host(service_ms, most if troubled else 0, away, kind=kind)
    for number, name in enumerate(names):
        sites.append(_site(number, name, large, hosts, domains, hour_ms, troubled=troubled))
    ranked = [(number + 1) ** -_RANKS for number in range(domains - len(_LARGE))]
    scale = (1 - _LARGE_SHARE) / sum(ranked)
    weights = [_LARGE_SHARE / len(_LARGE)] * len(_LARGE) + [one * scale for one in ranked]
    rows = [Override(site=site, connections=200) for site in large.values()]
    rate = rate_of(f"{messages // _HOURLY}/hour,max_burst={_BURST}")
    rows.append(Override(site=large["limited"], delivery_rate=rate))
    return World(
        domains=tuple(names),
        shares=tuple(accumulate(weights)),
        site_of=dict(zip(names, sites, strict=True)),
        hosts=hosts,
        large=large,
        senders=tuple(_senders(messages, hour_ms)),
        shaping=Shaping(rows=rows),
    )


def _senders(messages: int, hour_ms: int) -> Iterator[Sender]:
    """Three campaigns, one of them of thrice the weight, and mail that comes all the time."""
    yield Sender("north", messages * 4 // 10)
    yield Sender("south", messages * 2 // 10)
    yield Sender("west", messages * 2 // 10, weight=3)
    for number in range(20):
        yield Sender(f"steady{number}", messages // 100, hour_ms)


def _site(
    number: int, name: str, large: dict[str, str], hosts: dict[str, Host],
    domains: int, hour_ms: int, *, troubled: bool,
) -> str:  # fmt: skip
    """The site of a domain, whose host is noted where it is new."""
    rank = number - len(_LARGE)
    if rank < 0:
        return large[name.partition(".")[0]]
    if rank % _HOSTED == 0:
        return list(large.values())[rank // _HOSTED % len(large)]
    hosters = max(domains // 300, 1)
    own = rank % 3 == 2
    site = site_name([f"mx.{name}" if own else f"mx.hoster{rank % hosters}.test"])
    if site not in hosts:
        plain = not troubled or not own or rank < domains * _PLAIN
        hosts[site] = Host(50 + rank * 37 % 350) if plain else _troubled(rank, hour_ms)
    return site


def _troubled(rank: int, hour_ms: int) -> Host:
    """Of the sites of a single domain 3 % tarpit, 3 % are away at first, 9 % greylist, 6 % take few
    sessions."""
    service_ms, kind = 50 + rank * 37 % 350, rank // 3 % 100
    if kind < 3:
        return Host(30_000, kind="tarpit")
    if kind < 6:
        return Host(service_ms, away=(0, hour_ms // 2), kind="outage")
    if kind < 15:
        return Host(service_ms, greylist_ms=min(5 * _MINUTE, hour_ms // 12), kind="greylist")
    if kind < 21:
        return Host(service_ms, most=1, kind="few sessions")
    return Host(service_ms)
