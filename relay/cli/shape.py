"""`relay qshape`: the queue by age."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from rich.console import RenderableType
from rich.text import Text

from relay.cli import exits, output
from relay.cli.render import plain_table
from relay.cli.store import open_store
from relay.config import load_settings
from relay.console.shape import Shape, ShapeView


def qshape(arguments: Namespace) -> int:
    """A row for each domain or tenant, a column for each age."""
    settings = load_settings(arguments.config)

    async def ask() -> ShapeView:
        async with open_store(settings) as client:
            return await Shape(client, settings.store.partitions).read(
                by=arguments.by,
                state=arguments.state,
                limit=arguments.limit,
                sample=arguments.sample,
            )

    view = asyncio.run(ask())
    if arguments.json:
        output.print_json(view)
    else:
        output.terminal().print(shape(view))
    return exits.OK


def shape(view: ShapeView) -> RenderableType:
    """The table with its bounds in minutes, as Postfix prints it."""
    if not view.deliveries:
        return "Nothing is queued." if view.state == "all" else f"Nothing is {view.state}."
    table = plain_table("", caption=_caption(view))
    bounds = [str(bound) for bound in view.bounds_minutes]
    for name in ("T", *bounds, f"{bounds[-1]}+"):
        table.add_column(name, justify="right")
    table.add_row(*_cells("TOTAL", view.deliveries, view.ages), style="bold")
    for row in view.rows:
        table.add_row(*_cells(row.name or "(default tenant)", row.deliveries, row.ages))
    return table


def _cells(name: str, total: int, ages: tuple[int, ...]) -> list[Text]:
    counts = [Text(str(count), "" if count else "dim") for count in (total, *ages)]
    return [Text(name), *counts]


def _caption(view: ShapeView) -> str:
    what = view.by if view.names == 1 else f"{view.by}s"
    shown = len(view.rows)
    of = f"{view.names} {what}" if shown == view.names else f"{shown} of {view.names} {what}"
    state = "" if view.state == "all" else f", {view.state} alone"
    sampled = f"; estimated from {view.looked_at} deliveries" if view.sampled else ""
    unread = f"; {view.unread} of a newer version, not read" if view.unread else ""
    return f"minutes since acceptance; {of}{state}{sampled}{unread}"
