"""`relay explain`: why mail is not being sent now, and where it would go."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Group, RenderableType
from rich.text import Text

from relay.cli import exits, output
from relay.cli.store import open_store
from relay.config import Settings, load_settings
from relay.console import routing
from relay.console.explain import Destination, Explained, Explainer, Explanation
from relay.errors import ConfigError
from relay.lookup.resolver import Resolver
from relay.mail.address import BadAddress, parse_mailbox
from relay.policy.routes import RouteTable
from relay.policy.shaping import Shaping
from relay.policy.tls import policy_of
from relay.store.sts_shelf import StsShelf


def explain(arguments: Namespace) -> int:
    """What keeps a message, or mail to an address; the decisive line first."""
    settings = load_settings(arguments.config)
    subject: str = arguments.subject
    address = _address(subject) if "@" in subject else ""

    async def ask() -> Explanation:
        async with _open(settings) as explainer:
            if address:
                return await explainer.address(address)
            return await explainer.message(subject)

    view = asyncio.run(ask())
    if arguments.json:
        output.print_json(view)
    else:
        output.terminal().print(explanation(view))
    return exits.OK


def explanation(view: Explanation) -> RenderableType:
    """A block for each delivery."""
    parts: list[RenderableType] = []
    for one in view.deliveries:
        parts += ["", _explained(one)] if parts else [_explained(one)]
    return Group(*parts)


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[Explainer]:
    options = routing.route_options(settings)
    resolver = Resolver(routing.resolver_options(settings))
    try:
        async with open_store(settings) as client:
            router = routing.router(settings, resolver, StsShelf(client))
            yield Explainer(
                client,
                settings.store.partitions,
                resolver=resolver,
                router=router,
                table=RouteTable(options.routes, options.port),
                shaping=Shaping(routing.limits(settings)),
                tls=policy_of(settings.delivery.tls).mode,
            )
    finally:
        await resolver.close()


def _address(text: str) -> str:
    """The address in canonical form. Raises ConfigError."""
    found = parse_mailbox(text, smtputf8=True)
    if isinstance(found, BadAddress):
        raise ConfigError([f"{text}: {found.why}"])
    return found


def _explained(one: Explained) -> Text:
    text = Text(", ".join(one.recipients[:5]), "bold")
    if len(one.recipients) > 5:
        text.append(f" and {len(one.recipients) - 5} more")
    if one.delivery:
        text.append(f"  {one.delivery}", "dim")
    for number, finding in enumerate(one.findings):
        text.append(f"\n  {finding.text}", "bold yellow" if number == 0 else "")
    if one.destination is not None:
        for name, value in _facts(one.destination):
            text.append(f"\n  {name:<10}", "dim").append(value)
    return text


def _facts(of: Destination) -> list[tuple[str, str]]:
    facts = [("goes by", of.by), ("hosts", ", ".join(of.hosts)), ("site", of.site)]
    facts += [("addresses", ", ".join(of.addresses)), ("TLS", ", ".join(of.tls))]
    facts += [("path", of.path)]
    return [(name, value) for name, value in facts if value]
