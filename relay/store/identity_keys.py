"""Every key of identity: credentials, failed logins, quotas.

| key | type | holds |
|---|---|---|
| `relay:{identity}:users` | hash | login -> credential (MessagePack) |
| `relay:{identity}:tokens` | hash | name of a token -> credential |
| `relay:{identity}:audit` | stream | what was changed, and by whom; the last 10,000 |
| `relay:{f:<who>}:failures` | zset, TTL | token of a failed login -> when, ms |
| `relay:{f:<who>}:known` | zset, TTL | client that logged in to the account -> when, ms |
| `relay:{t:<tenant>}:quota:<kind>:<name>` | hash, TTL | what a credential has submitted |
| `relay:{t:<tenant>}:spent:<kind>:<name>:<holder>` | string, 2 min | spend's last answer |

`<who>` is a client (an IPv4 address, a /64 of IPv6), or `a:` and the digest of an account's name;
`<holder>` is a process.
Fields of a quota: `minute`, `day` (their numbers since 1970), `mm`, `rm` (messages and recipients
in that minute), `md`, `rd` (in that day).
"""

from __future__ import annotations

from hashlib import sha256

from relay.policy.credential import Kind

AUDIT = "relay:{identity}:audit"
_HASHES: dict[Kind, str] = {"user": "relay:{identity}:users", "token": "relay:{identity}:tokens"}


def credentials(kind: Kind) -> str:
    """The hash of all credentials of a kind."""
    return _HASHES[kind]


def account(login: str) -> str:
    """An account as `failures` and `known` take it: whatever was typed, it makes a key."""
    return f"a:{sha256(login.encode(errors='surrogatepass')).hexdigest()[:32]}"


def failures(who: str) -> str:
    """Failed logins of a client or an account."""
    return f"relay:{{f:{who}}}:failures"


def known(who: str) -> str:
    """Clients that have logged in to an account."""
    return f"relay:{{f:{who}}}:known"


def quota(tenant: str, kind: Kind, name: str) -> str:
    """What a credential has submitted."""
    return f"relay:{{t:{tenant}}}:quota:{kind}:{name}"


def spent(tenant: str, kind: Kind, name: str, holder: str) -> str:
    """The last answer to a process."""
    return f"relay:{{t:{tenant}}}:spent:{kind}:{name}:{holder}"
