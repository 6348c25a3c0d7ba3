"""The roles that `relay up` runs as child processes, and what each is told by its environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from relay.cli.up.child import Program, command, environment
from relay.cli.up.place import Place
from relay.cli.up.ports import metrics_endpoint
from relay.config import Settings
from relay.config.load import settings_file

#: Seconds that a role without attempts of its own has to stop.
_GRACE = 15.0
#: Seconds that a worker has beyond its own grace before it is told to end at once.
_MARGIN = 5.0


class Role(Struct, frozen=True):
    """A program, and the host:port at which it answers once it is ready; "" for a worker."""

    program: Program
    endpoint: str = ""


def handed_down(settings: Settings, place: Place, config: Path | None) -> dict[str, str]:
    """The variables by which every role finds this instance's store and broker."""
    file = settings_file(config, os.environ)
    about = {"RELAY_CONFIG": str(file.absolute())} if file else {}
    return about | found_by(settings, place)


def found_by(settings: Settings, place: Place) -> dict[str, str]:
    """What other commands need to find this instance; also the content of its relay.env."""
    return {
        "RELAY_DATA": str(place.root),
        "RELAY_STORE__URL": f"unix://{place.socket('store')}",
        "RELAY_BROKER__URL": f"unix://{place.socket('broker')}",
        "RELAY_SMTP__LISTEN": ",".join(settings.smtp.listen),
        "RELAY_HTTP__LISTEN": ",".join(settings.http.listen),
        "RELAY_EXPORTER__LISTEN": settings.exporter.listen,
        "RELAY_SANDBOX__ENABLED": str(settings.sandbox.enabled).lower(),
        "RELAY_SANDBOX__LISTEN": settings.sandbox.listen,
    }


def metered(settings: Settings) -> list[str]:
    """The roles with metrics of their own, in the order of their ports."""
    workers = [f"worker-{number}" for number in range(1, settings.worker.processes + 1)]
    return ["smtp", *workers, "http"]


def roles(settings: Settings, place: Place, config: Path | None) -> Iterator[Role]:
    """Every role, in the order of starting: whoever takes messages on comes last."""
    variables = handed_down(settings, place, config)

    def program(name: str, grace: float, **more: str) -> Program:
        argv = command(name.partition("-")[0])
        hurry = signal.SIGQUIT if name.startswith("worker") else signal.SIGTERM
        return Program(name, tuple(argv), environment(os.environ, variables, more), grace, hurry)

    if settings.sandbox.enabled:
        yield Role(program("sink", _GRACE), settings.sandbox.listen)
    yield Role(program("exporter", _GRACE), settings.exporter.listen)
    names = metered(settings)
    ports = {name: metrics_endpoint(settings, number) for number, name in enumerate(names)}
    for name in names[1:-1]:
        yield Role(
            program(name, settings.worker.grace + _MARGIN, RELAY_METRICS__LISTEN=ports[name])
        )
    smtp = program("smtp", _GRACE, RELAY_METRICS__LISTEN=ports["smtp"])
    yield Role(smtp, settings.smtp.listen[0])
    http = program("http", _GRACE, RELAY_METRICS__LISTEN=ports["http"])
    yield Role(http, settings.http.listen[0])
