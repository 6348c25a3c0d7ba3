"""What the DNS says of a domain that sends: SPF, DKIM, DMARC, and where its DSNs go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from relay.console.doctor.check import Check, error, ok, warning
from relay.lookup.answers import Hosts, LookupFailed
from relay.lookup.plain import PlainLookup
from relay.lookup.resolver import Resolver

#: Octets of an RSA key's SubjectPublicKeyInfo: 1024 bits have 162, 2048 have 294.
_SHORT, _GOOD = 160, 290


async def domain(
    name: str, selectors: Sequence[str], resolver: Resolver, lookup: PlainLookup
) -> AsyncIterator[Check]:
    """All of it. `selectors`: of DKIM, as in the signatures' s=."""
    yield spf(name, await lookup.texts(name))
    for selector in selectors:
        where = f"{selector}._domainkey.{name}"
        yield dkim(where, await lookup.texts(where))
    if not selectors:
        text = "not looked at, as no selector is named"
        yield warning("dkim", text, "name one by --dkim-selector")
    yield await _dmarc(name, lookup)
    yield await _mx(name, resolver)


def spf(name: str, texts: Sequence[str] | LookupFailed) -> Check:
    """The SPF record (RFC 7208)."""
    if isinstance(texts, LookupFailed):
        return _unknown("spf", texts)
    records = [text for text in texts if text.lower().split(" ")[0] == "v=spf1"]
    if not records:
        remedy = f'publish one at {name}, such as "v=spf1 ip4:<this host\'s address> -all"'
        return error("spf", f"{name} has no SPF record", remedy)
    if len(records) > 1:
        text = f"{name} has {len(records)} SPF records, so that none counts"
        return error("spf", text, "make one of them")
    terms = records[0].lower().split()
    if "+all" in terms or "all" in terms:
        text = f"{name} lets everybody send: {records[0]}"
        return error("spf", text, "end it with -all or ~all")
    if not any(term in ("-all", "~all") or term.startswith("redirect=") for term in terms):
        text = f"{name} says nothing of other hosts: {records[0]}"
        return warning("spf", text, "end it with -all or ~all")
    return ok("spf", f"{name}: {records[0]}")


def dkim(where: str, texts: Sequence[str] | LookupFailed) -> Check:
    """A DKIM key record (RFC 6376 section 3.6.1)."""
    if isinstance(texts, LookupFailed):
        return _unknown("dkim", texts)
    key, trouble, remedy = _key(texts)
    if trouble:
        return error("dkim", f"{where}: {trouble}", remedy)
    kind = key.kind
    if kind == "rsa" and key.octets < _GOOD:
        text = f"{where}: an RSA key with less than 2048 bits"
        return warning("dkim", text, "make one of 2048 bits")
    testing = ", for testing alone (t=y)" if key.testing else ""
    return ok("dkim", f"{where}: a key for {kind}{testing}")


class _Key(Struct, frozen=True):
    """What a key record says; octets of the key."""

    kind: str = ""
    octets: int = 0
    testing: bool = False


def _key(texts: Sequence[str]) -> tuple[_Key, str, str]:
    """The key, or what is wrong and the remedy."""
    found, trouble = _Key(), ("", "")
    tags = _tags(texts[0]) if texts else {}
    if not texts:
        trouble = ("there is no key", "publish the key, or name another")
    elif len(texts) > 1:
        trouble = (f"there are {len(texts)} records", "leave one")
    elif tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        trouble = ("what is there is no key", "publish it again, in one piece")
    elif not tags["p"]:
        trouble = ("the key is revoked (p= is empty)", "sign with another")
    else:
        kind, testing = tags.get("k", "rsa"), "y" in tags.get("t", "").split(":")
        found = _Key(kind, _octets(tags["p"]), testing)
        if not found.octets:
            trouble = ("the key is damaged", "publish it again, in one piece")
        elif kind == "rsa" and found.octets < _SHORT:
            trouble = ("the key is too short", "make one of 2048 bits")
    return found, *trouble


def _octets(text: str) -> int:
    """How many there are in a base64 text; 0 where it is none."""
    try:
        return len(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return 0


def dmarc(where: str, texts: Sequence[str]) -> Check:
    """A DMARC record (RFC 7489 section 6.3) among the TXT records of a name that has some."""
    records = [text for text in texts if _tags(text).get("v") == "DMARC1"]
    if len(records) > 1:
        return error("dmarc", f"there are {len(records)} records at {where}", "leave one")
    policy = _tags(records[0]).get("p", "")
    if policy not in ("none", "quarantine", "reject"):
        return error("dmarc", f"{where} has no policy: {records[0]}", "add p=none, at first")
    if policy == "none":
        text = f"{where} asks for nothing (p=none)"
        return warning("dmarc", text, "when reports show that all mail passes: p=quarantine")
    return ok("dmarc", f"{where}: {records[0]}")


async def _dmarc(name: str, lookup: PlainLookup) -> Check:
    """The record of the domain, or of one above it that has at least two labels."""
    labels = name.split(".")
    for at in range(max(1, len(labels) - 1)):
        where = f"_dmarc.{'.'.join(labels[at:])}"
        texts = await lookup.texts(where)
        if isinstance(texts, LookupFailed):
            return _unknown("dmarc", texts)
        if any(_tags(text).get("v") == "DMARC1" for text in texts):
            return dmarc(where, texts)
    remedy = f'publish "v=DMARC1; p=none; rua=mailto:<address>" at _dmarc.{name}'
    return warning("dmarc", f"{name} has no DMARC record: large receivers want one", remedy)


async def _mx(name: str, resolver: Resolver) -> Check:
    found = await resolver.mail_hosts(name)
    if isinstance(found, LookupFailed):
        return _unknown("mx", found)
    if not isinstance(found, Hosts):
        text = f"{name} takes no mail, so DSNs and replies to it come to nothing"
        return warning("mx", text, "give it an MX record")
    return ok("mx", f"{name} takes mail at {', '.join(host for _, host in found.mx)}")


def _unknown(area: str, failure: LookupFailed) -> Check:
    return warning(area, f"could not be looked up: {failure.reason}", "ask again later")


def _tags(text: str) -> dict[str, str]:
    """A list of tag=value (RFC 6376 section 3.2)."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {tag.strip(): value.strip() for tag, _, value in pairs}
