"""`relay tail`: what became of whom, a line an event, from any point that is kept."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import AsyncGenerator, Sequence

import msgspec
from rich.text import Text

from relay.cli import exits, output
from relay.cli.render import STYLES
from relay.cli.store import open_store
from relay.config import load_settings
from relay.console.events import TYPES, EventRecipient, Events, EventView
from relay.console.records import reply_line
from relay.errors import ConfigError
from relay.mail.reply import Reply

#: Seconds between two looks where nothing came.
_POLL = 0.5
#: Events looked at in one reading.
_PAGE = 500


def tail(arguments: Namespace) -> int:
    """Print the events that are kept, or with --follow those to come, until Ctrl-C."""
    unknown = sorted(set(arguments.kind) - set(TYPES.values()))
    if unknown:
        kinds = ", ".join(dict.fromkeys(TYPES.values()))
        raise ConfigError([f"--kind: {kind} is none of {kinds}" for kind in unknown])
    asyncio.run(_tail(arguments))
    return exits.OK


async def events_of(
    events: Events, cursor: str, *, tenant: str | None, follow: bool
) -> AsyncGenerator[EventView, None]:
    """Events behind the cursor; those to come as well where `follow`. Raises ValueError."""
    while True:
        found, behind = await events.after(cursor, tenant=tenant, most=_PAGE)
        for one in found:
            yield one
        if behind == cursor:
            if not follow:
                return
            await asyncio.sleep(_POLL)
        cursor = behind


def wanted(one: EventView, kinds: Sequence[str], domains: Sequence[str]) -> bool:
    """Whether it is of one of the kinds and domains, of which none stands for all."""
    return (not kinds or one.type in kinds) and (not domains or one.domain in domains)


def line(one: EventView) -> Text:
    """The event for people: when, what, whom, which message, and the reply."""
    text = Text(one.at.astimezone().strftime("%H:%M:%S "), "dim")
    text.append(f"{one.type:<11}", STYLES.get(one.type, "")).append(f"{one.message} ", "dim")
    if one.host:
        text.append(f"at {one.host} ")
    return text.append("; ".join(map(_recipient, one.recipients)) or one.tenant)


async def _tail(arguments: Namespace) -> None:
    settings = load_settings(arguments.config)
    domains = [domain.lower() for domain in arguments.domain]
    async with open_store(settings) as client:
        events = Events(client, settings.store.partitions)
        cursor = arguments.after
        if not cursor:
            start = ",".join(["0-0"] * settings.store.partitions)
            cursor = await events.now() if arguments.follow else start
        following = events_of(events, cursor, tenant=arguments.tenant, follow=arguments.follow)
        try:
            async for one in following:
                if wanted(one, arguments.kind, domains):
                    _print(one, as_json=arguments.json)
        except ValueError as error:
            raise ConfigError([f"--after: {arguments.after} {error}"]) from None


def _print(one: EventView, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(one).decode() + "\n")
    else:
        output.terminal().print(line(one), soft_wrap=True)
    sys.stdout.flush()


def _recipient(one: EventRecipient) -> str:
    said = reply_line(Reply(one.code, one.enhanced, one.text))
    return f"{one.address}: {said}" if said else one.address
