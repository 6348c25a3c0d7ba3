"""The commands about credentials: `user`, `token` and `audit`."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import TypeVar

from msgspec import UNSET, UnsetType, structs
from rich.table import Table

from relay.cli import exits, output
from relay.cli.who import operator
from relay.config import Settings, load_settings
from relay.config.values import duration
from relay.console.records import moment
from relay.errors import ConfigError
from relay.identity.registry import Registry, Terms
from relay.identity.secret import LONGEST_PASSWORD
from relay.identity.views import change_view, credential_view
from relay.policy.credential import Credential, Quotas
from relay.store.client import ClientOptions
from relay.store.cluster import client_of
from relay.store.identity import IdentityStore
from relay.store.servers import servers_of

_T = TypeVar("_T")
_QUOTAS = ("messages_minute", "messages_day", "recipients_minute", "recipients_day")
#: Seconds that a command waits for the store.
_PATIENCE = 5.0


def add(arguments: Namespace) -> int:
    """Make a credential and show its secret, this once."""
    password, terms = _password(arguments), _terms(arguments)
    credential, secret = _asked(
        arguments,
        lambda registry: registry.add(
            arguments.kind, arguments.name, terms, by=operator(), password=password
        ),
    )
    return _shown(arguments, credential, secret)


def rotate(arguments: Namespace) -> int:
    """Make another secret and show it, this once."""
    password, overlap = _password(arguments), _seconds("--overlap", arguments.overlap)
    credential, secret = _asked(
        arguments,
        lambda registry: registry.rotate(
            arguments.kind, arguments.name, overlap_s=overlap, by=operator(), password=password
        ),
    )
    return _shown(arguments, credential, secret)


def change(arguments: Namespace) -> int:
    """Give a credential other terms."""
    return _changed(arguments, _terms(arguments))


def disable(arguments: Namespace) -> int:
    """Take a credential no more."""
    return _changed(arguments, Terms(disabled=True))


def enable(arguments: Namespace) -> int:
    """Take a credential again."""
    return _changed(arguments, Terms(disabled=False))


def remove(arguments: Namespace) -> int:
    """Take a credential away."""
    _asked(
        arguments, lambda registry: registry.remove(arguments.kind, arguments.name, by=operator())
    )
    if arguments.json:
        output.print_json({"kind": arguments.kind, "name": arguments.name, "removed": True})
    else:
        sys.stdout.write(f"{arguments.kind} {arguments.name} is removed\n")
    return exits.OK


def show(arguments: Namespace) -> int:
    """What a credential may do."""
    credential = _asked(arguments, lambda registry: registry.show(arguments.kind, arguments.name))
    return _shown(arguments, credential)


def listed(arguments: Namespace) -> int:
    """All credentials of a kind."""
    found = _asked(arguments, lambda registry: registry.all(arguments.kind))
    if arguments.json:
        now = time.time() * 1000
        output.print_json({"credentials": [credential_view(one, now) for one in found]})
    else:
        output.terminal().print(_table(found))
    return exits.OK


def audit(arguments: Namespace) -> int:
    """The last changes of credentials."""
    changes = _asked(arguments, lambda registry: registry.changes(max(1, arguments.limit)))
    views = [change_view(change) for change in changes]
    if arguments.json:
        output.print_json({"changes": views})
        return exits.OK
    table = Table("at", "by", "action", "kind", "name", "tenant", "changes")
    for one in views:
        at = f"{one.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(at, one.by, one.action, one.kind, one.name, one.tenant, one.changes)
    output.terminal().print(table)
    return exits.OK


def _changed(arguments: Namespace, terms: Terms) -> int:
    credential = _asked(
        arguments,
        lambda registry: registry.change(arguments.kind, arguments.name, terms, by=operator()),
    )
    return _shown(arguments, credential)


def _shown(arguments: Namespace, credential: Credential, secret: str = "") -> int:
    view = credential_view(credential, time.time() * 1000, secret)
    if arguments.json:
        output.print_json(view)
        return exits.OK
    for name, value in structs.asdict(view).items():
        if name != "secret":
            sys.stdout.write(f"{name:18} {_text(value)}\n")
    if secret:
        word = "password" if credential.kind == "user" else "token"
        sys.stdout.write(f"{word:18} {secret}\nIt is not shown again.\n")
    return exits.OK


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return str(value) if value not in (None, "") else "-"


def _table(found: list[Credential]) -> Table:
    table = Table("name", "tenant", "scopes", "senders", "networks", "expires", "state", "note")
    for one in found:
        table.add_row(
            one.name,
            one.tenant,
            " ".join(one.scopes),
            " ".join(one.senders),
            " ".join(one.networks),
            _text(moment(one.expires_ms) if one.expires_ms else None),
            "disabled" if one.disabled else "",
            one.note,
        )
    return table


def _terms(arguments: Namespace) -> Terms:
    """The terms that were named. Raises ConfigError for what cannot be read."""
    given = {
        name: value
        for name in ("tenant", "senders", "scopes", "networks", "note")
        if (value := getattr(arguments, name)) is not None
    }
    return Terms(**given, quotas=_quotas(arguments), expires_ms=_expiry(arguments.expires))


def _quotas(arguments: Namespace) -> Quotas | UnsetType:
    """All four are set where one is named; to change one alone, name the others as well."""
    named = {name: getattr(arguments, name) for name in _QUOTAS}
    if all(count is None for count in named.values()):
        return UNSET
    return Quotas(**{name: count or 0 for name, count in named.items()})


def _expiry(text: str | None) -> int | UnsetType:
    if text is None:
        return UNSET
    if text == "never":
        return 0
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return round((time.time() + _seconds("--expires", text)) * 1000)
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def _seconds(option: str, text: str) -> float:
    try:
        seconds = duration(text)
    except ValueError as error:
        raise ConfigError([f"{option} {error}"]) from None
    return float(seconds) if isinstance(seconds, int | float) else 0.0


def _password(arguments: Namespace) -> str:
    """The password that standard input has, "" where one is to be made."""
    if not getattr(arguments, "password_stdin", False):
        return ""
    # The first line alone: what an editor or echo adds behind it is no part of it.
    password = sys.stdin.readline(4 * LONGEST_PASSWORD).rstrip("\r\n")
    if not password:
        raise ConfigError(["--password-stdin: standard input has no password in its first line"])
    return password


def _asked(arguments: Namespace, question: Callable[[Registry], Awaitable[_T]]) -> _T:
    settings = load_settings(arguments.config)

    async def ask() -> _T:
        async with open_registry(settings) as registry:
            return await question(registry)

    return asyncio.run(ask())


@asynccontextmanager
async def open_registry(settings: Settings) -> AsyncIterator[Registry]:
    """The registry in the store. Raises StoreUnavailable."""
    client = client_of(servers_of(settings.store.url), ClientOptions(patience=_PATIENCE))
    await client.start()
    try:
        yield Registry(IdentityStore(client))
    finally:
        await client.close()
