"""`relay complaint`: takes a feedback report in, as a mailbox's pipe or a cron job hands it over.

Mailers that deliver to a program read its exit code as sysexits.h has them: 75 has them try again.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path

from relay.cli import exits, output
from relay.cli.store import open_store
from relay.cli.who import own_name
from relay.config import Settings, load_settings
from relay.console.complaints import ComplaintDesk, ComplaintView
from relay.errors import ConfigError, NoSuchMessage, StoreUnavailable
from relay.mail.feedback import KINDS, MOST_OCTETS, Feedback, NoReport, complainant, feedback

#: No report, or one of something else; and try again later (sysexits.h).
DATAERR, TEMPFAIL = 65, 75


def complaint(arguments: Namespace) -> int:
    """Note a complaint: of the report in a file or on standard input, or as the options say."""
    settings = load_settings(arguments.config)
    recipient = _recipient(arguments.recipient)
    if arguments.kind not in KINDS:
        raise ConfigError([f"--kind: {arguments.kind} is none of {', '.join(KINDS)}"])
    try:
        report = None if arguments.id else feedback(_read(arguments.file))
        view = asyncio.run(_noted(settings, arguments, report, recipient))
    except (NoReport, NoSuchMessage) as error:
        sys.stderr.write(f"relay: no complaint was noted: {error}\n")
        return DATAERR
    except StoreUnavailable as error:
        sys.stderr.write(f"relay: the store gives no good answer, try again later: {error}\n")
        return TEMPFAIL
    if arguments.json:
        output.print_json(view)
    else:
        who = f" by {view.recipient}" if view.recipient else ""
        print(f"{view.answer}: {view.kind}{who} about {view.message}")
    return exits.OK


async def _noted(
    settings: Settings, arguments: Namespace, report: Feedback | None, recipient: str
) -> ComplaintView:
    async with open_store(settings) as client:
        desk = ComplaintDesk(client, settings.store.partitions, own_name(settings))
        if report is not None:
            return await desk.take(report, tenant=arguments.tenant)
        return await desk.take_about(
            arguments.id, recipient, arguments.kind, tenant=arguments.tenant
        )


def _read(name: str) -> bytes:
    """A message, one octet more than may be read at most."""
    if name in ("", "-"):
        return sys.stdin.buffer.read(MOST_OCTETS + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(MOST_OCTETS + 1)
    except OSError as error:
        raise ConfigError([f"{name}: {error.strerror}"]) from error


def _recipient(text: str) -> str:
    found = complainant(text)
    if text and not found:
        raise ConfigError([f"--recipient: {text} is no address"])
    return found
