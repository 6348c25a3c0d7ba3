"""The servers that a URL names: one, a primary that sentinels know the address of, or a cluster.

    redis://[user:password@]host[:6379][/db]       rediss:// with TLS
    unix:///path[?db=0]
    redis+sentinel://[user:password@]host[:26379],host...[/name[/db]]      rediss+sentinel://
        ?sentinel_username=...&sentinel_password=...  where the sentinels want a login of their own
    redis+cluster://[user:password@]host[:6379],host...                    rediss+cluster://

The login in front of the hosts is that of the primary and its replicas. `ssl_cert_reqs` and
`ssl_ca_certs` may stand behind the question mark of all URLs with TLS.
"""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

from msgspec import Struct, structs

from relay.errors import ConfigError
from relay.store.address import Address, split_url

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
_SENTINEL_PORT = 26379
_PORT = 6379
#: The name that Redis's own examples give a primary.
_NAME = "mymaster"


class Sentinels(Struct, frozen=True):
    """A primary, its replicas, and the sentinels that watch them."""

    #: The sentinels, each with its own login.
    sentinels: tuple[Address, ...]
    #: What they call the primary.
    name: str
    #: How to talk to the primary: all but its host and port.
    primary: Address

    def __str__(self) -> str:
        """For logs: where they are, never a password."""
        places = ",".join(f"{one.host}:{one.port}" for one in self.sentinels)
        return f"{self.name} of {places}"

    def __repr__(self) -> str:
        return f"Sentinels({self})"


class Cluster(Struct, frozen=True):
    """A Redis Cluster, by some of its nodes."""

    #: Asked for the others.
    seeds: tuple[Address, ...]

    @property
    def node(self) -> Address:
        """How to talk to a node: all but its host and port."""
        return self.seeds[0]

    def __str__(self) -> str:
        """For logs: where it is, never a password."""
        return f"cluster of {','.join(f'{one.host}:{one.port}' for one in self.seeds)}"

    def __repr__(self) -> str:
        return f"Cluster({self})"


#: Whatever has one primary at a time.
Single = Address | Sentinels
#: Whatever a URL may name.
Servers = Single | Cluster


def servers_of(url: str) -> Servers:
    """The servers that a URL names. Raises ConfigError, without repeating the password."""
    if split_url(url).scheme in CLUSTER_SCHEMES:
        return _cluster(url)
    return single(url)


def single(url: str) -> Single:
    """The same where a cluster will not do. Raises ConfigError."""
    if split_url(url).scheme in SENTINEL_SCHEMES:
        return _sentinels(url)
    return Address.parse(url)


def _cluster(url: str) -> Cluster:
    parts = split_url(url)
    if parts.path.strip("/") not in ("", "0"):
        raise ConfigError([f"{parts.scheme}://: a cluster has no databases but 0"])
    template = _template(url, "")
    places = hosts_of(parts.netloc, _PORT)
    return Cluster(tuple(structs.replace(template, host=host, port=port) for host, port in places))


def _sentinels(url: str) -> Sentinels:
    parts = split_url(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    name, _, db = parts.path.strip("/").partition("/")
    template = _template(url, db or query.get("db", ""))
    login = structs.replace(
        template,
        username=query.get("sentinel_username", ""),
        password=query.get("sentinel_password", ""),
        db=0,
    )
    places = hosts_of(parts.netloc, _SENTINEL_PORT)
    sentinels = tuple(structs.replace(login, host=host, port=port) for host, port in places)
    return Sentinels(sentinels, unquote(name) or _NAME, template)


def _template(url: str, db: str) -> Address:
    """What all servers of a URL have in common: login, TLS and database."""
    parts = split_url(url)
    userinfo = parts.netloc.rpartition("@")[0]
    scheme = parts.scheme.partition("+")[0]
    one = parts._replace(scheme=scheme, netloc=f"{userinfo}@h" if userinfo else "h", path=f"/{db}")
    return Address.parse(one.geturl())


def hosts_of(place: str, port: int) -> list[tuple[str, int]]:
    """The hosts and ports in a URL's `user:password@host:port,host`. Raises ConfigError."""
    found = []
    for one in place.rpartition("@")[2].split(","):
        try:
            parts = split_url(f"//{one}")
            host, given = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError([f"the URL of the servers: {error}"]) from None
        if not host or given == 0:
            raise ConfigError(["the URL of the servers: a host is missing between two commas"])
        found.append((host, given or port))
    return found
