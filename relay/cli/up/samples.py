"""The sample messages of the sandbox: submitted over SMTP, and each one's way shown as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from importlib import resources

from msgspec import Struct
from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from relay.cli.submit import Submitted, from_file, submit
from relay.cli.up.report import Report
from relay.config import Settings
from relay.console.status import open_console
from relay.console.views import Console, MessageView, RecipientState, RecipientView

#: Seconds between two looks at what has become of them.
_POLL = 0.05


class Sample(Struct):
    """One sample message and how far it is."""

    name: str
    accepted: Submitted
    view: MessageView | None = None

    @property
    def final(self) -> bool:
        """Every recipient has its outcome."""
        return self.view is not None and self.view.final

    @property
    def delivered(self) -> bool:
        """Every recipient has the message."""
        recipients = self.view.recipients if self.view else ()
        states = {recipient.state for recipient in recipients}
        return states == {RecipientState.DELIVERED}


async def show_samples(settings: Settings, report: Report, timeout: float) -> list[Sample]:
    """Send all samples and show their way, until all have their outcome or `timeout` seconds."""
    samples = [
        Sample(name, await asyncio.to_thread(submit, settings.smtp.listen[0], from_file(content)))
        for name, content in contents()
    ]
    async with open_console(settings) as console:
        if report.console.is_terminal:
            with Live(console=report.console, auto_refresh=False) as live:
                async for _ in _followed(console, samples, timeout):
                    live.update(_table(samples), refresh=True)
        else:
            told: set[str] = set()
            async for _ in _followed(console, samples, timeout):
                for line in _lines(samples):
                    if line not in told:
                        told.add(line)
                        report.line("sample", line)
    return samples


def contents() -> Iterator[tuple[str, bytes]]:
    """Name and content of each sample message."""
    folder = resources.files("relay.cli") / "samples"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".eml"):
            yield file.name, file.read_bytes()


async def _followed(console: Console, samples: list[Sample], timeout: float) -> AsyncIterator[None]:
    deadline = time.monotonic() + timeout
    while True:
        for sample in samples:
            if not sample.final:
                sample.view = await console.message(sample.accepted.id)
        yield
        if all(sample.final for sample in samples) or time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL)


def _table(samples: list[Sample]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for column in ("message", "accepted", "recipient", "", "after"):
        table.add_column(column, no_wrap=True)
    for sample in samples:
        first = (sample.name.removesuffix(".eml"), f"{sample.accepted.took_ms:g} ms")
        for recipient in sample.view.recipients if sample.view else ():
            style = "green" if recipient.state is RecipientState.DELIVERED else "yellow"
            state = Text(recipient.state.value, style)
            table.add_row(*first, recipient.address, state, _after(sample, recipient))
            first = ("", "")
    return table


def _lines(samples: list[Sample]) -> Iterator[str]:
    for sample in samples:
        yield f"{sample.name}: accepted in {sample.accepted.took_ms:g} ms as {sample.accepted.id}"
        for recipient in sample.view.recipients if sample.view else ():
            if recipient.attempts:
                after = _after(sample, recipient)
                yield f"{sample.name}: {recipient.address} {recipient.state} after {after}"


def _after(sample: Sample, recipient: RecipientView) -> str:
    """From acceptance to the end of the last attempt."""
    if not (recipient.attempts and sample.view):
        return ""
    seconds = (recipient.attempts[-1].at - sample.view.accepted_at).total_seconds()
    return f"{seconds * 1000:.0f} ms"
