"""Where a Redis or Valkey server listens, read from a redis://, rediss:// or unix:// URL."""

from __future__ import annotations

import re
import ssl
from urllib.parse import SplitResult, parse_qs, unquote

from msgspec import Struct

from relay.errors import ConfigError

#: RFC 3986 appendix B.
_URL = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
#: The scheme that Celery's broker URLs have for a unix socket.
_SOCKET_SCHEMES = ("unix", "redis+socket", "socket")
_VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


def split_url(url: str) -> SplitResult:
    """A URL's parts. Where several hosts stand in it, `urlsplit` takes them for one with a bad
    address in brackets, and raises ValueError in newer versions of Python.

    Raises ValueError where a bracket is not closed.
    """
    found = _URL.fullmatch(url.strip())
    scheme, place, *others = found.groups("") if found else ("",) * 5
    if place.count("[") != place.count("]"):
        raise ValueError("a bracket of an IPv6 address is missing")
    return SplitResult(scheme.lower(), place, *others)


class Address(Struct, frozen=True):
    """One server and the logical database on it. `path` is a unix socket's, "" for TCP."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = ""
    tls: bool = False
    #: "required", "optional" or "none": whether the server's certificate must be good.
    tls_verify: str = "required"
    #: A file of trusted certificates, "" for the system's.
    tls_ca_file: str = ""

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address a URL names. Raises ConfigError, without repeating the password."""
        parts = split_url(url)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        try:
            if parts.scheme in _SOCKET_SCHEMES:
                return cls(
                    path=unquote(parts.path),
                    db=int(query.get("db") or query.get("virtual_host", "0").strip("/") or 0),
                    username=query.get("username", username),
                    password=query.get("password", password),
                )
            if parts.scheme not in ("redis", "rediss"):
                raise ConfigError([f"{parts.scheme}://: a redis, rediss or unix URL is needed"])
            return cls(
                host=parts.hostname or "127.0.0.1",
                port=parts.port or 6379,
                db=int(query.get("db") or parts.path.strip("/") or 0),
                username=username,
                password=password,
                tls=parts.scheme == "rediss",
                tls_verify=_verify_of(query.get("ssl_cert_reqs", "required")),
                tls_ca_file=query.get("ssl_ca_certs", ""),
            )
        except ValueError as error:
            raise ConfigError([f"the URL of a {parts.scheme} server: {error}"]) from None

    def tls_context(self) -> ssl.SSLContext | None:
        """How to speak TLS to the server, or None where it is spoken to in the clear."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls_ca_file or None)
        if self.tls_verify != "required":
            context.check_hostname = False
        context.verify_mode = _VERIFY[self.tls_verify]
        return context

    @property
    def place(self) -> str:
        """Where the server is: its host and port, or its unix socket."""
        return self.path or f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """For logs: where it is, never the password."""
        return f"{self.place}/{self.db}"

    def __repr__(self) -> str:
        return f"Address({self})"


def _verify_of(text: str) -> str:
    """`ssl_cert_reqs` as redis-py and Celery spell it. Raises ValueError."""
    word = text.lower().removeprefix("cert_")
    if word not in _VERIFY:
        raise ValueError(f"ssl_cert_reqs must be one of {', '.join(_VERIFY)}")
    return word
