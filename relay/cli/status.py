"""The commands that show and control what is in the store: `show`, `queue`, `cancel`."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from relay.cli import exits, output, render
from relay.config import load_settings
from relay.console.status import open_console
from relay.console.views import Console
from relay.errors import NoSuchMessage
from relay.mail.ids import is_message_id

_View = TypeVar("_View")


def show(arguments: Namespace) -> int:
    """What became of a message."""
    message = _id(arguments)
    view = _asked(arguments, lambda console: console.message(message))
    if arguments.json:
        output.print_json(view)
    else:
        output.terminal().print(render.message(view, datetime.now(UTC)))
    return exits.OK


def queue(arguments: Namespace) -> int:
    """What waits, by domain."""
    view = _asked(
        arguments,
        lambda console: console.queues(domain=arguments.domain, limit=arguments.limit),
    )
    if arguments.json:
        output.print_json(view)
    else:
        output.terminal().print(render.queues(view, datetime.now(UTC)))
    return exits.OK


def cancel(arguments: Namespace, message: str) -> int:
    """Stop what is not delivered yet of a message; fails where nothing was left to stop."""
    views = _asked(arguments, lambda console: console.cancel(message))
    if arguments.json:
        output.print_json({"id": message, "deliveries": views})
    else:
        output.terminal().print(render.cancelled(views))
    stopped = any(view.answer != "final" for view in views)
    return exits.OK if stopped else exits.FAILED


def _asked(arguments: Namespace, question: Callable[[Console], Awaitable[_View]]) -> _View:
    settings = load_settings(arguments.config)

    async def ask() -> _View:
        async with open_console(settings) as console:
            return await question(console)

    return asyncio.run(ask())


def _id(arguments: Namespace) -> str:
    """The id asked for, spared the store where it cannot be one. Raises NoSuchMessage."""
    if not is_message_id(arguments.id):
        raise NoSuchMessage(f"{arguments.id} is no message id")
    return str(arguments.id)
