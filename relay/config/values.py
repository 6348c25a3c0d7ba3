"""The kinds of value a setting has, how each is written in TOML or the environment, and shown."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from relay.errors import ConfigError
from relay.mail.extensions import ALL
from relay.policy.shaping import rate_of
from relay.policy.tls import policy_of
from relay.store.address import split_url
from relay.store.servers import CLUSTER_SCHEMES, SENTINEL_SCHEMES, servers_of

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_SIZES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_PASSWORD = re.compile(r"(password=)[^&]*")
_HOST = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<![-.])")


class Group(BaseModel):
    """Settings that belong together: frozen, and strict about keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind:
    """What the documentation calls a type, with an example of how it is written."""

    def __init__(self, name: str, show: Callable[[Any], object] | None = None) -> None:
        self.name = name
        self.show = show or (lambda value: value)


class Secret(Kind):
    """A value of which a part must not be shown."""


def duration(text: object) -> object:
    """Seconds from "30s", "1h30m" or "5d"; anything else is left for pydantic to judge."""
    if not isinstance(text, str):
        return text
    parts = _DURATION.findall(text.strip())
    if not parts or _DURATION.sub("", text.strip()):
        try:
            return float(text)
        except ValueError:
            raise ValueError('is no duration: write "30s", "5m", "4h", "5d" or seconds') from None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """The shortest way to write a duration: 90 is "90s", 240 is "4m"."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"


def size(text: object) -> object:
    """Octets from "50MiB"; anything but text is left for pydantic to judge."""
    if not isinstance(text, str):
        return text
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError('is no size: write "64KiB", "50MiB", "1GiB" or octets')
    return int(found[1]) * _SIZES[found[2] or ""]


def show_size(octets: int) -> str:
    """The shortest way to write a size: 52428800 is "50MiB"."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and octets % _SIZES[unit] == 0:
            return f"{octets // _SIZES[unit]}{unit}"
    return str(octets)


def endpoint(text: str) -> str:
    """A host:port, checked; an IPv6 address stands in brackets."""
    host, port = split_endpoint(text)
    inner = host.strip("[]")
    if ":" in inner:
        ipaddress.IPv6Address(inner)
    elif not _HOST.fullmatch(inner):
        raise ValueError("is no host:port: the host is missing or malformed")
    if not 0 < port < 65536:
        raise ValueError("is no host:port: the port must be from 1 to 65535")
    return text


def split_endpoint(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:2525" or "[::1]:2525", brackets taken off."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        raise ValueError('is no host:port: write "127.0.0.1:2525" or "[::1]:2525"')
    return host.strip("[]"), int(port)


def network(text: str) -> str:
    """A network in CIDR form; a single address is a network of one."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"is no network: {error}") from None


def address(text: str) -> str:
    """An IP address, or "" for none."""
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise ValueError("is no IP address") from None


def nameserver(text: str) -> str:
    """An IP address with or without a port."""
    host = split_endpoint(text)[0] if text.startswith("[") or text.count(":") == 1 else text
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("is no IP address, nor one with a port") from None
    return text


def url(*schemes: str) -> Callable[[str], str]:
    """A check that a URL has one of the schemes and a place to connect to, or several."""

    def check(text: str) -> str:
        parts = split_url(text)
        if parts.scheme not in schemes:
            raise ValueError(f"must begin with {', '.join(f'{scheme}://' for scheme in schemes)}")
        if parts.scheme in (*SENTINEL_SCHEMES, *CLUSTER_SCHEMES):
            _check_several(text)
            return text
        if parts.port == 0 or not (
            parts.path if parts.scheme in ("unix", "redis+socket") else parts.hostname
        ):
            raise ValueError("names no server: a host or a socket's path is missing")
        return text

    return check


def _check_several(text: str) -> None:
    try:
        servers_of(text)
    except ConfigError as error:
        raise ValueError(error.problems[0]) from None


def mask(text: str) -> str:
    """The URL with its password, in front of the host or in the query, shown as ***."""
    parts = split_url(text)
    place = parts.netloc
    if parts.password:
        place = f"{parts.username or ''}:***@{place.rpartition('@')[2]}"
    query = _PASSWORD.sub(r"\1***", parts.query)
    return urlunsplit(parts._replace(netloc=place, query=query))


def listed(value: object) -> object:
    """A list from the environment: JSON, or items with commas between."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def mapped(value: object) -> object:
    """A table from the environment: JSON, or key=value pairs with commas between."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError('is no table: write "example.com=10.0.0.1:25,*=smart.example:25"')
    return {key.strip(): item.strip() for key, _, item in pairs}


def levelled(value: object) -> object:
    """The same of domain=level pairs; a level may have names of its own behind `match=`."""
    try:
        return mapped(value)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise
        raise ValueError('is no table: write "example.com=secure,*.example.net=none"') from None


def rate(text: str) -> str:
    """A rate as it is written, or "" for none."""
    if text:
        rate_of(text)
    return text


def tls_level(text: str) -> str:
    """A level of TLS, perhaps with names, as it is written."""
    policy_of(text)
    return text


def extension(text: str) -> str:
    """The keyword of a service extension that reception may announce."""
    word = text.upper()
    if word not in ALL:
        raise ValueError(f"is no extension: {', '.join(sorted(ALL))} are known")
    return word


def indexed(text: str) -> str:
    """What messages may be found by besides what the queue itself is ordered by."""
    if text not in ("recipients", "tags"):
        raise ValueError("is none of recipients, tags")
    return text


Duration = Annotated[float, BeforeValidator(duration), Kind("duration", show_duration)]
Size = Annotated[int, BeforeValidator(size), Kind("size", show_size)]
Endpoint = Annotated[str, AfterValidator(endpoint), Kind("host:port")]
Endpoints = Annotated[tuple[Endpoint, ...], BeforeValidator(listed), Kind("list of host:port")]
Networks = Annotated[
    tuple[Annotated[str, AfterValidator(network)], ...],
    BeforeValidator(listed),
    Kind("list of networks"),
]
Nameservers = Annotated[
    tuple[Annotated[str, AfterValidator(nameserver)], ...],
    BeforeValidator(listed),
    Kind("list of addresses"),
]
Extensions = Annotated[
    tuple[Annotated[str, AfterValidator(extension)], ...],
    BeforeValidator(listed),
    Kind("list of extensions"),
]
Indexed = Annotated[
    tuple[Annotated[str, AfterValidator(indexed)], ...],
    BeforeValidator(listed),
    Kind("list of recipients, tags"),
]
Rate = Annotated[str, AfterValidator(rate), Kind("rate")]
Address = Annotated[str, AfterValidator(address), Kind("IP address")]
Routes = Annotated[
    dict[str, Endpoint], BeforeValidator(mapped), Kind("table of domain = host:port")
]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(address)], ...],
    BeforeValidator(listed),
    Kind("list of IP addresses"),
]
TlsLevel = Annotated[str, AfterValidator(tls_level), Kind("TLS level")]
TlsPolicies = Annotated[
    dict[str, TlsLevel], BeforeValidator(levelled), Kind("table of domain = TLS level")
]
_SINGLE = ("redis", "rediss", "unix", "redis+socket", *SENTINEL_SCHEMES)
Url = Annotated[str, AfterValidator(url("http", "https")), Kind("URL")]
Password = Annotated[str, Secret("text", lambda value: "***" if value else value)]
ServerUrl = Annotated[
    str, AfterValidator(url(*_SINGLE, *CLUSTER_SCHEMES)), Secret("URL", lambda value: mask(value))
]
#: The broker's: kombu has no transport for clusters.
BrokerUrl = Annotated[str, AfterValidator(url(*_SINGLE)), Secret("URL", lambda value: mask(value))]
