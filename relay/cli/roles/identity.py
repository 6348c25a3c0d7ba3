"""Identity from the settings, for every role that takes messages in."""

from __future__ import annotations

from relay.config import Settings
from relay.identity import Identity, IdentityOptions
from relay.identity.guesses import GuessLimits
from relay.store.client import StoreClient
from relay.store.identity import IdentityStore


def identity(settings: Settings, client: StoreClient) -> Identity:
    """Who may submit; to be closed by the caller."""
    own = settings.identity
    return Identity(
        IdentityStore(client),
        IdentityOptions(
            cache=own.cache,
            passed=own.passed,
            threads=own.threads,
            waiting=own.waiting,
            guesses=GuessLimits(
                per_client=own.failures_per_client,
                per_account=own.failures_per_account,
                window=own.failures_window,
            ),
        ),
    )
