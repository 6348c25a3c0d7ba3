"""MTA-STS: what a domain says of its hosts and of TLS with them (RFC 8461)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from relay.policy.names import is_name, normal

#: Octets of a policy at most, and the longest time that one is believed, in seconds (RFC 8461
#: sections 3.2 and 10.2).
LARGEST_POLICY = 64 << 10
LONGEST_AGE = 31_557_600
#: Patterns of a policy that are kept at most.
MOST_PATTERNS = 100
MODES = ("enforce", "testing", "none")

_VERSION = re.compile(r"v=STSv1[ \t]*;")
_ID = re.compile(r"(?:^|;)[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?:;|$)")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(.*?)[ \t]*")
_AGE = re.compile(r"[0-9]{1,10}")


class StsPolicy(Struct, frozen=True, array_like=True):
    """A domain's policy, and the id under which its TXT record names it."""

    id: str
    #: enforce, testing or none.
    mode: str
    #: Names of hosts in lower case; `*.` in front stands for one label.
    mx: tuple[str, ...]
    #: How long it is to be believed, in seconds.
    max_age: int

    def covers(self, host: str) -> bool:
        """Whether the host may take the domain's mail (section 4.1)."""
        name = normal(host)
        return any(
            name.partition(".")[2] == pattern[2:] if pattern.startswith("*.") else name == pattern
            for pattern in self.mx
        )


def policy_id(texts: Iterable[str]) -> str:
    """The id that the TXT records of `_mta-sts.<domain>` name; "" where the domain has no policy.

    More than one such record is as good as none (section 3.1).
    """
    records = [text for text in texts if _VERSION.match(text)]
    found = _ID.search(records[0]) if len(records) == 1 else None
    return found[1] if found else ""


def read_policy(content: bytes, id_: str) -> StsPolicy:
    """The policy in a file that was fetched (section 3.2). Raises ValueError, which says why."""
    fields: dict[str, str] = {}
    patterns: list[str] = []
    for line in content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue
        found = _FIELD.fullmatch(line)
        if found is None:
            raise ValueError("a line is no field")
        name, value = found.groups()
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            # Of a field that comes twice the first one counts.
            fields.setdefault(name, value)
    return _checked(id_, fields, patterns)


def _checked(id_: str, fields: dict[str, str], patterns: list[str]) -> StsPolicy:
    mode, age = fields.get("mode", ""), fields.get("max_age", "")
    if fields.get("version") != "STSv1":
        raise ValueError("its version is not STSv1")
    if mode not in MODES:
        raise ValueError("its mode is none of enforce, testing and none")
    if not _AGE.fullmatch(age):
        raise ValueError("its max_age is no number of seconds")
    if len(patterns) > MOST_PATTERNS or not (patterns or mode == "none"):
        raise ValueError(f"it names no host, or more than {MOST_PATTERNS}")
    return StsPolicy(id_, mode, tuple(dict.fromkeys(patterns)), min(int(age), LONGEST_AGE))


def _pattern(value: str) -> str:
    pattern = normal(value)
    if not is_name(pattern.removeprefix("*.")):
        raise ValueError("an mx field is no name of a host")
    return pattern
