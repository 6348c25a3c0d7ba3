"""The command `up`: checks what can be checked, starts everything, and waits to be told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from argparse import Namespace
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from relay.cli import exits
from relay.cli.operations import open_operations
from relay.cli.up import ports, valkey
from relay.cli.up.child import Child, Program
from relay.cli.up.farewell import where_to_look
from relay.cli.up.keeper import GaveUp, Keeper
from relay.cli.up.limits import raise_open_files
from relay.cli.up.place import Place
from relay.cli.up.report import Report
from relay.cli.up.roles import found_by, handed_down, metered, roles
from relay.cli.up.samples import show_samples
from relay.cli.up.supervisor import Supervisor
from relay.config import Settings, load_settings
from relay.config.load import own_settings
from relay.config.values import split_endpoint
from relay.errors import ConfigError
from relay.policy.selection import Selection

#: Seconds for the ports of an instance that was just killed to become free.
_PORT_PATIENCE = 1.0
#: Seconds for a role to become ready; the store may load its file as long as it takes.
_PATIENCE = 60.0


def up(arguments: Namespace) -> int:
    """Run everything until SIGINT or SIGTERM. Raises ConfigError before anything is started."""
    settings = _settings(arguments)
    place = Place(Path(settings.data))
    with place.claimed(sandbox=settings.sandbox.enabled):
        _check_ports(settings)
        raise_open_files()
        return asyncio.run(_Up(settings, place, arguments).run())


def _settings(arguments: Namespace) -> Settings:
    env = dict(os.environ)
    if arguments.sandbox:
        env["RELAY_SANDBOX__ENABLED"] = "true"
    if arguments.data:
        env["RELAY_DATA"] = arguments.data
    settings = own_settings(arguments.config, env)
    problems = [
        f"{key}.url: relay up runs a {key} of its own: take the setting out, or start the roles "
        "one by one"
        for key, group in (("store", settings.store), ("broker", settings.broker))
        if "url" in group.model_fields_set
    ]
    if arguments.exit_after_samples and not settings.sandbox.enabled:
        problems.append(
            "--exit-after-samples: there are samples in the sandbox only; add --sandbox"
        )
    if problems:
        raise ConfigError(problems)
    return settings


def _check_ports(settings: Settings) -> None:
    deadline = time.monotonic() + _PORT_PATIENCE
    wanted = ports.needed(settings, len(metered(settings)))
    while problems := ports.problems(wanted):
        if time.monotonic() > deadline:
            raise ConfigError(problems)
        time.sleep(0.1)


class _Up:
    """One run, from the first child's start to the last one's end."""

    def __init__(self, settings: Settings, place: Place, arguments: Namespace) -> None:
        self.settings = settings
        self.place = place
        self.arguments = arguments
        self.report = Report()

    async def run(self) -> int:
        """The exit code."""
        supervisor, stop = Supervisor(), asyncio.Event()
        self._listen_for_signals(supervisor, stop)
        try:
            return await _first(self._work(supervisor, stop), supervisor.watch(), stop.wait())
        except GaveUp as error:
            self.report.line("relay", "failed", str(error))
            return error.code
        finally:
            await supervisor.stop()

    async def _work(self, supervisor: Supervisor, stop: asyncio.Event) -> int:
        await supervisor.start(*self._servers())
        self.place.announce(found_by(self.settings, self.place))
        if self.arguments.held:
            await self._hold_all()
        await supervisor.start(*self._roles())
        samples = []
        if self.settings.sandbox.enabled:
            samples = await show_samples(self._found(), self.report, self.arguments.timeout)
        if self.arguments.exit_after_samples:
            delivered = all(sample.delivered for sample in samples)
            return exits.OK if delivered else exits.FAILED
        where_to_look(self.settings, self.place, samples, self.report)
        await stop.wait()
        return exits.OK

    async def _hold_all(self) -> None:
        """Hold all that is queued, before there is anybody who could attempt it."""
        settings = self._found()
        async with open_operations(settings) as operations:
            done = await operations.run("hold", Selection(everything=True), dry_run=False)
        self.report.line(
            "relay",
            "held",
            f"{done.deliveries} deliveries: relay release lets them go, such as "
            "relay release --since 2h",
        )

    def _found(self) -> Settings:
        """The settings as every child has them: with this instance's store."""
        variables = handed_down(self.settings, self.place, self.arguments.config)
        return load_settings(None, os.environ | variables)

    def _servers(self) -> list[list[Keeper]]:
        store = valkey.store(self.place, self.settings.store.maxmemory)
        broker = valkey.broker(self.place)
        return [[self._server(store)], [self._server(broker)]]

    def _server(self, program: Program) -> Keeper:
        ready = valkey.Readiness(self.place.socket(program.name), program.name, self.report)
        child = Child(program, self.place.logs / f"{program.name}.log")
        return Keeper(child, ready, float("inf"), self.report)

    def _roles(self) -> list[list[Keeper]]:
        """Stages: helpers, then workers, then those that accept messages."""
        stages: dict[str, list[Keeper]] = {"helpers": [], "worker": [], "smtp": []}
        stages["http"] = stages["smtp"]
        consumers = valkey.Consumers(self.place.socket("broker"), self.settings.worker.processes)
        for role in roles(self.settings, self.place, self.arguments.config):
            child = Child(role.program, self.place.logs / f"{role.program.name}.log")
            ready = partial(_answers, role.endpoint) if role.endpoint else consumers
            keeper = Keeper(child, ready, _PATIENCE, self.report)
            stages.get(role.program.name.partition("-")[0], stages["helpers"]).append(keeper)
        return [stages["helpers"], stages["worker"], stages["smtp"]]

    def _listen_for_signals(self, supervisor: Supervisor, stop: asyncio.Event) -> None:
        asked = iter((stop, *supervisor.haste))
        told = iter(
            (
                "attempts under way are finished; once more to hurry",
                "attempts are given up, what was not delivered stays queued; once more to kill",
                "now",
            )
        )

        def ask() -> None:
            if event := next(asked, None):
                self.report.line("relay", "stopping", next(told))
                event.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, ask)


async def _first(*works: Coroutine[Any, Any, Any]) -> int:
    """The result of what ends first, the others cancelled: an exit code, or OK."""
    tasks = [asyncio.create_task(work) for work in works]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    results = [task.result() for task in tasks if task in done]
    return results[0] if type(results[0]) is int else exits.OK


async def _answers(endpoint: str) -> bool:
    """Whether somebody listens at host:port."""
    try:
        _, writer = await asyncio.open_connection(*split_endpoint(endpoint))
    except OSError:
        return False
    writer.close()
    return True
