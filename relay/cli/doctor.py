"""`relay doctor`: whether all that mail depends on is as it should be, and what to do where not."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from rich.console import Group, RenderableType
from rich.text import Text

from relay.cli import exits, output
from relay.cli.certificates import certificates
from relay.config import Settings, load_settings
from relay.console import routing
from relay.console.doctor.check import Check, Checkup, checkup, error, ok
from relay.console.doctor.domain import domain
from relay.console.doctor.outward import name, port
from relay.console.doctor.servers import servers
from relay.errors import ConfigError
from relay.lookup.plain import PlainLookup
from relay.lookup.resolver import Resolver
from relay.mail.address import BadAddress, canonical_domain
from relay.policy.endpoint import Endpoint, parse_endpoint

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(arguments: Namespace) -> int:
    """A line for each thing that was looked at; 1 where one of them does not work."""
    view = _looked(arguments)
    if arguments.json:
        output.print_json(view)
    else:
        output.terminal().print(lines(view))
    return exits.FAILED if view.errors else exits.OK


def lines(view: Checkup) -> RenderableType:
    """OK, warning or error in front of each line, the remedy below it."""
    return Group(*map(_line, view.checks), Text(_sum(view)))


def _looked(arguments: Namespace) -> Checkup:
    sender = _domain(arguments.domain) if arguments.domain else ""
    try:
        settings = load_settings(arguments.config)
    except ConfigError as problem:
        remedy = "mend it; relay config docs tells all settings"
        return checkup([error("settings", one, remedy) for one in problem.problems])
    target = _target(arguments.connect, settings) if arguments.connect else None
    return asyncio.run(_look(settings, sender, arguments.dkim_selector, target))


async def _look(
    settings: Settings, sender: str, selectors: list[str], target: Endpoint | None
) -> Checkup:
    checks: list[Check] = [ok("settings", "all of them are good")]
    checks += [found async for found in servers(settings)]
    checks += certificates(settings)
    options = routing.resolver_options(settings)
    try:
        resolver, lookup = Resolver(options), PlainLookup(options)
    except ConfigError as problem:
        checks += [error("dns", one, "set delivery.nameservers") for one in problem.problems]
        return checkup(checks)
    try:
        if settings.sandbox.enabled:
            checks.append(ok("name", "not looked at: this is a sandbox, and nothing leaves it"))
        else:
            checks += [found async for found in name(settings, resolver, lookup)]
        if sender:
            checks += [found async for found in domain(sender, selectors, resolver, lookup)]
        if target is not None:
            checks.append(await port(target, resolver))
    finally:
        await resolver.close()
    return checkup(checks)


def _domain(text: str) -> str:
    """A domain as an A-label in lower case. Raises ConfigError."""
    found = canonical_domain(text)
    if isinstance(found, BadAddress):
        raise ConfigError([f"--domain: {text}: {found.why}"])
    return found


def _target(text: str, settings: Settings) -> Endpoint:
    """The host to try. Raises ConfigError."""
    try:
        return parse_endpoint(text, settings.delivery.port)
    except ValueError as problem:
        raise ConfigError([f"--connect: {problem}"]) from None


def _line(one: Check) -> Text:
    text = Text(f"{one.level:<8}", _STYLES[one.level]).append(f"{one.area:<12}", "dim")
    text.append(one.text)
    if one.remedy:
        text.append(f"\n{'':20}{one.remedy}", "dim")
    return text


def _sum(view: Checkup) -> str:
    def count(number: int, word: str) -> str:
        return f"{number} {word}" if number == 1 else f"{number} {word}s"

    return f"{count(view.errors, 'error')}, {count(view.warnings, 'warning')}"
