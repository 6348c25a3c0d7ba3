"""Secrets: passwords hashed by Argon2id, tokens that are shown once and kept as a hash.

A token is `rly_NAME.SECRET`: the prefix lets scanners find one that leaked, the name tells which
to revoke. Its secret has 256 bits of chance, so a plain hash is enough (there is nothing to guess).
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

#: OWASP's choice for Argon2id: 19 MiB, two passes, one lane; about 20 ms of one core.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

PREFIX = "rly_"
#: Characters of a password that somebody chose, and octets that are looked at of any.
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 1024


def new_password() -> str:
    """A password that nobody guesses, and that no command line takes for an option."""
    while (password := secrets.token_urlsafe(24)).startswith("-"):
        pass
    return password


def new_token(name: str) -> str:
    """A token for the credential with that name."""
    return f"{PREFIX}{name}.{secrets.token_urlsafe(32)}"


def token_name(token: str) -> str:
    """The name in a token, "" where it is none."""
    name, dot, secret = token.removeprefix(PREFIX).rpartition(".")
    return name if dot and secret and token.startswith(PREFIX) else ""


def hash_password(password: str) -> str:
    """The hash to store; takes as long as a check."""
    return _hasher.hash(password)


def hash_token(token: str) -> str:
    """The hash to store."""
    return sha256(token.encode(errors="surrogatepass")).hexdigest()


#: Checked where there is no such account, so that this takes as long as a wrong password.
NOBODY = hash_password(secrets.token_urlsafe(32))


def is_password(stored: str, password: str) -> bool:
    """Whether the password has that hash: 20 ms and 19 MiB, without the interpreter's lock."""
    try:
        return _hasher.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False


def is_token(stored: str, token: str) -> bool:
    """Whether the token has that hash; in constant time."""
    return hmac.compare_digest(stored, hash_token(token))
