"""`relay top`: what goes on now, again and again."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from datetime import datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from relay.cli import exits, output
from relay.cli.render import age, clock, octets, plain_table, queue_cells
from relay.cli.store import open_store
from relay.config import load_settings
from relay.console.top import SiteView, Top, TopView
from relay.errors import ConfigError

_BREAKERS = {"open": "green", "probe": "yellow", "dead": "bold red"}


def top(arguments: Namespace) -> int:
    """A frame every few seconds on a terminal, until Ctrl-C; else one."""
    if not 0.2 <= arguments.interval <= 3600:
        raise ConfigError([f"--interval: {arguments.interval:g} is not from 0.2 to 3600 seconds"])
    asyncio.run(_top(arguments))
    return exits.OK


async def _top(arguments: Namespace) -> None:
    settings = load_settings(arguments.config)
    async with open_store(settings) as client:
        deadline_ms = round(settings.lease.deadline * 1000)
        looks = Top(client, settings.store.partitions, deadline_ms=deadline_ms)
        if arguments.json:
            output.print_json(await looks.look(arguments.limit))
        elif arguments.once or not sys.stdout.isatty():
            output.terminal().print(frame(await looks.look(arguments.limit)))
        else:
            await _live(looks, arguments)


async def _live(looks: Top, arguments: Namespace) -> None:
    first = frame(await looks.look(arguments.limit))
    with Live(first, console=output.terminal(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(frame(await looks.look(arguments.limit)), refresh=True)
            await asyncio.sleep(arguments.interval)


def frame(view: TopView) -> RenderableType:
    """All of it as text and tables."""
    parts: list[RenderableType] = [_head(view), "", _domains(view)]
    if view.sites:
        parts += ["", _sites(view)]
    return Group(*parts)


def _head(view: TopView) -> Text:
    text = Text(f"relay top  {clock(view.at, view.at)}  ", "bold")
    text.append(f"workers {view.workers}", "" if view.workers else "bold red")
    text.append(f"  store {_memory(view)}, {view.round_trip_ms:g} ms")
    text.append("\nqueue     ", "dim").append(
        f"{view.waiting} waiting, {view.leased} leased, {view.deferred} deferred, {view.held} held"
    )
    text.append(f"; oldest {age(view.oldest_age_s)}, not held {age(view.oldest_active_age_s)}")
    text.append("\na second  ", "dim").append(
        ", ".join(f"{one.per_second:g} {one.kind}" for one in view.rates if one.per_second)
        or "nothing happened in the last ten"
    )
    for trouble in _troubles(view):
        text.append(f"\n{trouble}", "bold red")
    return text


def _troubles(view: TopView) -> list[str]:
    found = []
    if not view.workers:
        found.append("no worker reports: nothing is delivered (relay worker)")
    if view.overdue:
        found.append(f"{view.overdue} queues are rung by nobody in time (relay doctor)")
    if view.lag_s > 60:
        found.append(f"events are applied {age(view.lag_s)} late: DSNs wait")
    return found


def _memory(view: TopView) -> str:
    if not view.memory_max:
        return octets(view.memory_used)
    return f"{octets(view.memory_used)} of {octets(view.memory_max)}"


def _domains(view: TopView) -> Table | str:
    if not view.domains:
        return "Nothing is queued."
    return _queues(view, view.at)


def _queues(view: TopView, now: datetime) -> Table:
    table = plain_table("domain")
    for name in ("waiting", "leased", "deferred", "held", "oldest"):
        table.add_column(name, justify="right")
    table.add_column("next attempt", no_wrap=True)
    table.add_column("last reply", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in view.domains:
        table.add_row(*queue_cells(one, now))
    return table


def _sites(view: TopView) -> Table:
    table = plain_table("site")
    for name in ("connections", "window", "waiting"):
        table.add_column(name, justify="right")
    table.add_column("breaker")
    table.add_column("last failure", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in view.sites:
        table.add_row(*_site(one))
    return table


def _site(one: SiteView) -> list[Text]:
    window = "-" if one.window is None else str(one.window)
    counts = [Text(text) for text in (str(one.connections), window, str(one.waiting))]
    breaker = Text(one.breaker, _BREAKERS.get(one.breaker, ""))
    return [Text(one.site), *counts, breaker, Text(one.reply or "-")]
