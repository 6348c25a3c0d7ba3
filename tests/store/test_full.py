"""What runs in a store that is at its memory limit: all but what takes in more."""

from __future__ import annotations

from importlib.resources import files

import pytest

from relay.errors import StoreFull
from relay.store.client import StoreClient
from relay.store.script import script
from relay.store.wire import ReplyError

_SCRIPTS = sorted(
    file.name.removesuffix(".lua")
    for file in (files("relay.store") / "scripts").iterdir()
    if file.name.endswith(".lua")
)
#: Acceptance, and the quota that is taken from before it.
_TAKING_IN = ("admit", "spend")


@pytest.mark.parametrize("name", _SCRIPTS)
async def test_every_script_but_acceptance_is_let_run_at_maxmemory(
    client: StoreClient, name: str
) -> None:
    """Said without arguments, it runs and finds that they are missing, or is not let run."""
    await client.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises((ReplyError, StoreFull)) as failure:
        await client.command("EVAL", script(name).source, 0)
    assert isinstance(failure.value, StoreFull) == (name in _TAKING_IN), failure.value
    assert await client.read("DBSIZE") == 0
