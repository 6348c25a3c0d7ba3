"""The commands that move what is queued: `drain`, `export`, `import`."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from relay.cli import exits, output
from relay.config import Settings, load_settings
from relay.config.values import duration
from relay.console.moving import Moved, Mover, export_to, import_from
from relay.errors import ConfigError
from relay.store.client import ClientOptions, StoreClient
from relay.store.cluster import client_of
from relay.store.index import index_of
from relay.store.schema import agree, noted_index
from relay.store.servers import Servers, servers_of

#: Seconds that a command waits for a store.
_PATIENCE = 30.0


def drain(arguments: Namespace) -> int:
    """Move the whole queue into another store."""
    settings = load_settings(arguments.config)
    try:
        target = servers_of(arguments.to)
        patience = duration(arguments.wait)
    except ValueError as error:
        raise ConfigError([f"--to, --wait: {error}"]) from error
    if not isinstance(patience, float):
        raise ConfigError([f"--wait: {arguments.wait} is no duration"])
    if arguments.to == settings.store.url:
        raise ConfigError(["--to: this is the store that is to be drained (store.url)"])

    async def move() -> Moved:
        async with _store(servers_of(settings.store.url)) as source, _store(target) as other:
            await agree(other, arguments.partitions, "fsync")
            mover = Mover(
                source,
                settings.store.partitions,
                other,
                arguments.partitions,
                round(settings.retry.max_age * 1000),
                await noted_index(other),
            )
            return await mover.run(patience)

    return _told(arguments, asyncio.run(move()), "moved")


def export(arguments: Namespace) -> int:
    """Write everything that is queued into a file."""
    settings = load_settings(arguments.config)

    async def write() -> Moved:
        async with _own(settings) as source:
            longest_ms = round(settings.retry.max_age * 1000)
            return await export_to(
                Path(arguments.file), source, settings.store.partitions, longest_ms
            )

    return _told(arguments, _files(write()), "written")


def import_(arguments: Namespace) -> int:
    """Queue what is in a file."""
    settings = load_settings(arguments.config)

    async def read() -> Moved:
        async with _own(settings) as target:
            await agree(target, settings.store.partitions, settings.store.durability)
            return await import_from(
                Path(arguments.file),
                target,
                settings.store.partitions,
                index_of(settings.store.index),
                held=arguments.held,
            )

    return _told(arguments, _files(read()), "queued")


def _files(work: Coroutine[Any, Any, Moved]) -> Moved:
    """What came of work on a file. Raises ConfigError where the file is at fault."""
    try:
        return asyncio.run(work)
    except OSError as error:
        raise ConfigError([str(error)]) from error


@asynccontextmanager
async def _store(servers: Servers) -> AsyncIterator[StoreClient]:
    client = client_of(servers, ClientOptions(patience=_PATIENCE))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


def _own(settings: Settings) -> AbstractAsyncContextManager[StoreClient]:
    return _store(servers_of(settings.store.url))


def _told(arguments: Namespace, moved: Moved, word: str) -> int:
    """All of it is through: 0; something is left: 1."""
    if arguments.json:
        output.print_json(moved)
    else:
        said = [f"{moved.moved} messages {word}"]
        said += [f"{moved.repeated} were there already"] if moved.repeated else []
        said += [f"{moved.credentials} logins and tokens"] if moved.credentials else []
        said += [f"{moved.under_way} have an attempt under way"] if moved.under_way else []
        said += [f"{moved.left} left, as the log says why"] if moved.left else []
        output.terminal().print(", ".join(said) + ".")
    return exits.FAILED if moved.under_way or moved.left else exits.OK
