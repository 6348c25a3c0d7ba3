"""Who may submit and ask: logins, tokens, what each of them may do, and how much."""

from relay.identity.identity import Identity, IdentityOptions
from relay.identity.principal import Principal, Refusal

__all__ = ["Identity", "IdentityOptions", "Principal", "Refusal"]
