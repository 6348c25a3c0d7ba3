"""Addresses: mailbox paths parsed strictly and put in one canonical form (RFC 5321 section 4.1.2).

The canonical form is what the envelope carries and what everything is routed by: the domain as an
A-label in lower case, the local part unquoted where it may be, and nothing else than that.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

import idna
from msgspec import Struct

#: Octets of a local part and of a domain (RFC 5321 section 4.5.3.1), and of a label (RFC 1035).
LONGEST_LOCAL = 64
LONGEST_DOMAIN = 255
LONGEST_LABEL = 63

# All repetition is possessive, so that no input makes a pattern try again: matching is linear.
# A group that is repeated is `(?>(?:...)*)`: the same written `*+` does not go back to before what
# failed half-way in Python 3.11.2, which is Debian 12's, and so takes `a.@example.com-.`.
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL = r"[A-Za-z0-9][A-Za-z0-9-]*+(?<!-)"
_DOMAIN = rf"{_LABEL}(?>(?:\.{_LABEL})*)"
_DOT_STRING = rf"[{_ATEXT}]++(?>(?:\.[{_ATEXT}]++)*)"
#: What nearly all paths look like, as a pattern: local part and domain are what `plain_path` takes.
PLAIN_PATH = rf"<({_DOT_STRING})@({_DOMAIN})>".encode()
_PLAIN = re.compile(PLAIN_PATH)
#: The same beyond ASCII (RFC 6531 section 3.3), the local part bare or quoted. Control characters
#: of either set (C0, DEL, C1) stand nowhere, not even quoted.
_WIDE = r"\u00a0-\U0010ffff"
_WIDE_DOT_STRING = rf"[{_ATEXT}{_WIDE}]++(?>(?:\.[{_ATEXT}{_WIDE}]++)*)"
_LOCAL = re.compile(
    rf'{_WIDE_DOT_STRING}|"[ !#-\[\]-~{_WIDE}]*+(?>(?:\\[ -~][ !#-\[\]-~{_WIDE}]*+)*)"'
)
_ROUTE = re.compile(rf"@{_DOMAIN}(?>(?:,@{_DOMAIN})*):")
_DOMAIN_ONLY = re.compile(_DOMAIN)
_WIDE_DOMAIN = re.compile(rf"[A-Za-z0-9.\-{_WIDE}]++")
_LITERAL = re.compile(r"\[([!-$&-Z^-~]++)\]")
_UNQUOTABLE = re.compile(_WIDE_DOT_STRING)
_QUOTED_PAIR = re.compile(r"\\(.)")
_NEEDS_PAIR = re.compile(r'(["\\])')


class BadAddress(Struct, frozen=True):
    """Why some octets are no address; `beyond_ascii` where SMTPUTF8 would make them one."""

    why: str
    beyond_ascii: bool = False


class Path(Struct, frozen=True):
    """An address in canonical form, `""` for `<>`, and the offset behind the closing bracket.

    Only `postmaster` has no domain (RFC 5321 section 4.1.1.3).
    """

    address: str
    end: int


def parse_path(line: bytes, start: int = 0, *, smtputf8: bool = False) -> Path | BadAddress:
    """The path that begins with `<` at `start`; a source route is dropped (RFC 5321 appendix C)."""
    found = _PLAIN.match(line, start)
    if found is None:
        return _full_path(line, start, smtputf8)
    address = plain_path(*found.groups())
    return Path(address, found.end()) if isinstance(address, str) else address


def plain_path(local: bytes, domain: bytes) -> str | BadAddress:
    """The canonical form of what matched PLAIN_PATH."""
    name = domain.decode().lower()
    trouble = _too_long(len(local), name)
    return BadAddress(trouble) if trouble else f"{local.decode()}@{name}"


def parse_mailbox(text: str, *, smtputf8: bool = False) -> str | BadAddress:
    """The canonical form of `local@domain` as people write it, without brackets."""
    encoded = f"<{text}>".encode(errors="surrogatepass")
    path = parse_path(encoded, smtputf8=smtputf8)
    if isinstance(path, BadAddress):
        return path
    if path.end != len(encoded) or "@" not in path.address:
        return BadAddress("not an address of the form local@domain")
    return path.address


def is_literal(address: str) -> bool:
    """Whether the domain is an address literal, such as `[192.0.2.1]`."""
    return address.endswith("]")


def plain_address(text: str) -> str | None:
    """An IP address in its shortest form, None where it is none.

    An IPv4 address mapped into IPv6 is that IPv4 address, so that no list of networks is passed by
    in another notation (RFC 4291 section 2.5.5.2). A zone is left out.
    """
    try:
        address = ip_address(text.removeprefix("IPV6:").removeprefix("IPv6:").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _full_path(line: bytes, start: int, smtputf8: bool) -> Path | BadAddress:
    """Quoted local parts, literals, source routes, U-labels, `<>` and `<postmaster>`."""
    if line.startswith(b"<>", start):
        return Path("", start + 2)
    if not line.startswith(b"<", start):
        return BadAddress("an address stands in angle brackets")
    try:
        text = line[start:].decode()
    except UnicodeDecodeError:
        return BadAddress("neither ASCII nor UTF-8")
    mailbox = _mailbox(text)
    if isinstance(mailbox, BadAddress):
        return mailbox
    address, end = mailbox
    if not smtputf8 and not text[:end].isascii():
        return BadAddress("not ASCII", beyond_ascii=True)
    return Path(address, start + len(text[:end].encode()))


def _mailbox(text: str) -> tuple[str, int] | BadAddress:
    """The address in `text`, which begins with `<`, and the offset behind its `>`."""
    route = _ROUTE.match(text, 1)
    local = _LOCAL.match(text, route.end() if route else 1)
    if local is None:
        return BadAddress("malformed local part")
    if local[0].lower() == "postmaster" and not route and text.startswith(">", local.end()):
        return "postmaster", local.end() + 1
    if not text.startswith("@", local.end()):
        return BadAddress("malformed local part, or no domain")
    end = text.find(">", local.end())
    if end < 0:
        return BadAddress("no closing bracket")
    domain = canonical_domain(text[local.end() + 1 : end])
    if isinstance(domain, BadAddress):
        return domain
    name = _canonical_local(local[0])
    trouble = _too_long(len(name.encode()), domain)
    return BadAddress(trouble) if trouble else (f"{name}@{domain}", end + 1)


def _canonical_local(local: str) -> str:
    """The local part without quotes where it needs none, else with no more escapes than needed."""
    if not local.startswith('"'):
        return local
    inner = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    if _UNQUOTABLE.fullmatch(inner):
        return inner
    return '"' + _NEEDS_PAIR.sub(r"\\\1", inner) + '"'


def canonical_domain(domain: str) -> str | BadAddress:
    """The domain as A-label in lower case, or the address literal in its shortest form."""
    if domain.startswith("["):
        return _canonical_literal(domain)
    if not domain.isascii():
        if not _WIDE_DOMAIN.fullmatch(domain):
            return BadAddress("malformed domain")
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            return BadAddress("not a domain under IDNA 2008")
    if not _DOMAIN_ONLY.fullmatch(domain):
        return BadAddress("malformed domain")
    trouble = _too_long(0, domain)
    return BadAddress(trouble) if trouble else domain.lower()


def _canonical_literal(domain: str) -> str | BadAddress:
    found = _LITERAL.fullmatch(domain)
    if found is None:
        return BadAddress("malformed address literal")
    try:
        if found[1][:5].lower() == "ipv6:":
            return f"[IPv6:{IPv6Address(found[1][5:]).compressed}]"
        return f"[{IPv4Address(found[1])}]"
    except AddressValueError:
        return BadAddress("malformed address literal")


def _too_long(local: int, domain: str) -> str:
    """What is too long or cannot be a name in the DNS; `""` if all is well."""
    if local > LONGEST_LOCAL:
        return "local part too long"
    if len(domain) > LONGEST_LABEL and not domain.startswith("["):
        if len(domain) > LONGEST_DOMAIN:
            return "domain too long"
        if max(map(len, domain.split("."))) > LONGEST_LABEL:
            return "domain with a label too long"
    # No top-level domain is a number (RFC 3696 section 2): this is an address without brackets.
    if domain[-1:].isdigit() and domain[domain.rfind(".") + 1 :].isdigit():
        return "domain is an address without brackets"
    return ""
