"""What `relay up` says once everything runs: where to submit, where to look, how to stop."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from relay.cli.up.place import Place
from relay.cli.up.ports import metrics_endpoint
from relay.cli.up.report import Report
from relay.cli.up.roles import metered
from relay.cli.up.samples import Sample
from relay.config import Settings
from relay.config.load import DATA_PLACES


def where_to_look(
    settings: Settings, place: Place, samples: Sequence[Sample], report: Report
) -> None:
    """Print it, as commands that can be copied."""
    relay = f"{_environment(place)}{_program()}"
    report.console.print()
    shown = samples[-1].accepted.id if samples else "ID"
    for name, text in _rows(settings, place, relay, shown):
        report.console.print(f"{name:<11}{text}", soft_wrap=True, markup=False)
    report.console.print()


def _rows(settings: Settings, place: Place, relay: str, shown: str) -> list[tuple[str, str]]:
    rows = [
        ("submit", f"SMTP to {', '.join(settings.smtp.listen)}, or:"),
        ("", f"{relay} send --from ann@example.com --to bob@example.net --subject Hi --text Hello"),
        *_over_http(settings),
        ("look", f"{relay} queue"),
        ("", f"{relay} show {shown}"),
        ("metrics", f"http://{settings.exporter.listen}/metrics"),
    ]
    if settings.metrics.enabled:
        rows += [
            ("", f"http://{metrics_endpoint(settings, number)}/metrics ({name})")
            for number, name in enumerate(metered(settings))
        ]
    if settings.sandbox.enabled:
        rows.append(("delivered", f"{_near(place.sink)}/*.eml (nothing leaves this machine)"))
    return [*rows, ("logs", f"{_near(place.logs)}/"), ("stop", "Ctrl-C")]


def _over_http(settings: Settings) -> list[tuple[str, str]]:
    """How to submit over HTTP: in the sandbox this machine needs no token."""
    url = f"{'https' if settings.http.tls.key else 'http'}://{settings.http.listen[0]}"
    if not settings.open_networks:
        return [("", f"HTTP to {url}/v1/messages with a token (relay token add)")]
    message = '{"from":"ann@example.com","to":"bob@example.net","subject":"Hi","text":"Hello"}'
    return [
        (
            "",
            f"curl {url}/v1/messages -H 'Content-Type: application/json' -d '{message}'",
        ),
        ("", f"{url}/docs has the rest"),
    ]


def _environment(place: Place) -> str:
    """What must stand in front of a command so that it finds this instance from here."""
    found = next((name for name in DATA_PLACES if Path(name).absolute() == place.root), None)
    return "" if found else f"RELAY_DATA={shlex.quote(_near(place.root))} "


def _program() -> str:
    """How this program was called, as one can call it again from here."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{_near(Path(sys.executable))} -m relay.cli"
    on_path = any(
        (Path(directory) / called.name).resolve() == called.resolve()
        for directory in os.get_exec_path()
    )
    return called.name if on_path else _near(called)


def _near(path: Path) -> str:
    """The path as seen from the working directory, where it is below it."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
