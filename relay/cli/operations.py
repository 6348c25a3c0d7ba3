"""The commands about many deliveries at once: `hold`, `release`, `retry`, `cancel`, `bounce`."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from relay.cli import exits, output, render
from relay.cli.status import cancel as cancel_one
from relay.cli.store import open_store
from relay.cli.who import operator
from relay.config import Settings, load_settings
from relay.config.values import duration
from relay.console import routing
from relay.console.operations import BOUNCE_REPLY, Done, Operations, Verb
from relay.console.sites import Sites
from relay.errors import ConfigError, NoSuchMessage
from relay.lookup.resolver import Resolver
from relay.mail.ids import is_message_id
from relay.mail.reply import Reply, bounce_reply
from relay.policy.routes import RouteTable
from relay.policy.selection import Selection


def hold(arguments: Namespace) -> int:
    """Set deliveries aside, or whole domains and tenants, mail to come included."""
    return _run(arguments, "hold")


def release(arguments: Namespace) -> int:
    """Let held deliveries go on."""
    return _run(arguments, "release")


def retry(arguments: Namespace) -> int:
    """Have deliveries attempted now."""
    return _run(arguments, "retry")


def cancel(arguments: Namespace) -> int:
    """Stop what is not delivered yet; one message by its id alone is told delivery by delivery."""
    if len(arguments.id) == 1 and selection_of(arguments) == Selection(
        messages=frozenset(arguments.id)
    ):
        return cancel_one(arguments, arguments.id[0])
    return _run(arguments, "cancel")


def bounce(arguments: Namespace) -> int:
    """End deliveries as bounced, of which their senders are told."""
    try:
        reply = bounce_reply(arguments.reply) if arguments.reply else BOUNCE_REPLY
    except ValueError as error:
        raise ConfigError([f"--reply: {error}"]) from None
    return _run(arguments, "bounce", reply)


@asynccontextmanager
async def open_operations(
    settings: Settings, reply: Reply = BOUNCE_REPLY
) -> AsyncIterator[Operations]:
    """Operations on the settings' store, by whoever runs this. Raises StoreUnavailable."""
    options = routing.route_options(settings)
    resolver = Resolver(routing.resolver_options(settings))
    try:
        async with open_store(settings) as client:
            yield Operations(
                client,
                settings.store.partitions,
                longest_ms=round(settings.retry.max_age * 1000),
                by=operator(),
                reply=reply,
                sites=Sites(resolver, RouteTable(options.routes, options.port)),
            )
    finally:
        await resolver.close()


def selection_of(arguments: Namespace) -> Selection:
    """What the options select. Raises ConfigError, NoSuchMessage."""
    for message in arguments.id:
        if not is_message_id(message):
            raise NoSuchMessage(f"{message} is no message id")
    problems: list[str] = []
    selection = Selection(
        messages=frozenset(arguments.id),
        domains=frozenset(domain.lower() for domain in arguments.domain),
        sites=frozenset(site.lower() for site in arguments.site),
        tenants=frozenset(arguments.tenant),
        tags=frozenset(arguments.tag),
        before_ms=_moment("--before", arguments.before, problems),
        since_ms=_moment("--since", arguments.since, problems),
        everything=arguments.all,
    )
    if selection.is_empty and not problems:
        problems.append(
            "say which deliveries: ids, --domain, --site, --tenant, --tag, --before, --since, "
            "or --all"
        )
    if problems:
        raise ConfigError(problems)
    return selection


def _moment(option: str, text: str, problems: list[str]) -> int:
    """The Unix time in ms that an option names: a date and time, or so long ago; 0 for none."""
    if not text:
        return 0
    try:
        ago = duration(text)
        if isinstance(ago, float):
            return int((time.time() - ago) * 1000)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        problems.append(
            f'{option}: {text} is no time: write "30m", "2h" (so long ago) or '
            '"2026-11-26T14:00" (UTC unless it says otherwise)'
        )
        return 0
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _run(arguments: Namespace, verb: Verb, reply: Reply = BOUNCE_REPLY) -> int:
    selection = selection_of(arguments)
    settings = load_settings(arguments.config)

    async def ask() -> Done:
        async with open_operations(settings, reply) as operations:
            return await operations.run(verb, selection, dry_run=arguments.dry_run)

    done = asyncio.run(ask())
    if arguments.json:
        output.print_json(done)
    else:
        output.terminal().print(render.done(done))
    return exits.OK if done.deliveries or done.whole else exits.FAILED
