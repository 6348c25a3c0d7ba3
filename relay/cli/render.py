"""Views as tables and lines for people: what became of a message, what waits for a domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from relay.console.operations import Done
from relay.console.views import (
    AttemptView,
    CancelView,
    MessageView,
    QueuesView,
    QueueView,
    RecipientState,
    RecipientView,
)

#: The colours of what becomes of recipients.
STYLES: Mapping[str, str] = {
    RecipientState.QUEUED: "cyan",
    RecipientState.LEASED: "bold cyan",
    RecipientState.DEFERRED: "yellow",
    RecipientState.DELIVERED: "green",
    RecipientState.BOUNCED: "bold red",
    RecipientState.EXPIRED: "red",
    RecipientState.CANCELLED: "magenta",
    RecipientState.HELD: "bold magenta",
}
_AGES = ((86400, "d"), (3600, "h"), (60, "m"))


def message(view: MessageView, now: datetime) -> RenderableType:
    """A message, its recipients, and each one's attempts."""
    parts: list[RenderableType] = [_facts(view, now)]
    for recipient in view.recipients:
        parts += ["", _state(recipient, now)]
        if recipient.attempts:
            parts.append(Padding(_attempts(recipient.attempts), (0, 0, 0, 2)))
    return Group(*parts)


def queues(view: QueuesView, now: datetime) -> RenderableType:
    """A row for each domain, and the sums of all."""
    if not view.domains:
        return "Nothing is queued."
    table = plain_table("domain", caption=_caption(view))
    for name in ("waiting", "leased", "deferred", "held", "oldest"):
        table.add_column(name, justify="right")
    table.add_column("next attempt", no_wrap=True)
    table.add_column("last reply", overflow="fold", ratio=1)
    for queue in view.queues:
        table.add_row(*queue_cells(queue, now))
    return table


def cancelled(views: Sequence[CancelView]) -> RenderableType:
    """What cancelling did to each delivery."""
    table = plain_table("delivery", "domain", "")
    meanings = {
        "cancelled": "[green]cancelled[/]",
        "pending": "[yellow]pending[/]: an attempt is under way, so it may still be sent",
        "final": "too late: it has its outcome",
        "newer": "[red]not touched[/]: a newer version of Relay wrote it",
    }
    for view in views:
        table.add_row(view.delivery, view.domain, meanings.get(view.answer, escape(view.answer)))
    return table


def done(view: Done) -> RenderableType:
    """What a command did to the deliveries of a selection, or would do."""
    table = plain_table("domain")
    table.add_column("deliveries", justify="right")
    for one in view.domains:
        table.add_row(Text(one.domain), str(one.deliveries))
    shown = sum(one.deliveries for one in view.domains)
    if shown < view.deliveries:
        table.add_row(Text("others", "dim"), str(view.deliveries - shown))
    plural = "delivery" if view.deliveries == 1 else "deliveries"
    if view.dry_run:
        said = f"{view.verb}: {view.deliveries} {plural}. Nothing was changed (--dry-run)."
    else:
        words = ", ".join(f"{count} {word}" for word, count in view.answers.items())
        said = f"{view.verb}: {view.deliveries} {plural}" + (f": {words}." if words else ".")
    parts: list[RenderableType] = [Text(said)]
    if view.whole:
        parts.append(Text(f"As a whole, with mail to come: {', '.join(view.whole)}."))
    if view.siteless:
        plural = "domain" if view.siteless == 1 else "domains"
        said = f"{view.siteless} {plural} whose site the DNS does not say now: left alone."
        parts.append(Text(said, "yellow"))
    if view.unread:
        parts.append(Text(f"{view.unread} that a newer Relay wrote were left alone.", "yellow"))
    return Group(table, "", *parts) if view.domains else Group(*parts)


def age(seconds: float) -> str:
    """How long, to one unit: 45 s, 12 m, 3 h, 2 d."""
    for length, unit in _AGES:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def clock(at: datetime, now: datetime) -> str:
    """The time of day on this machine, with the date where it is another day."""
    here, today = at.astimezone(), now.astimezone().date()
    return here.strftime("%H:%M:%S" if here.date() == today else "%Y-%m-%d %H:%M:%S")


def reply(attempt: AttemptView) -> str:
    """The reply as one line; an attempt that got none has the reason for text."""
    parts = (str(attempt.code) if attempt.code > 0 else "", attempt.enhanced, attempt.text)
    return " ".join(part for part in parts if part)


def octets(count: int) -> str:
    """A size for people: 812 B, 4.0 KiB, 1.5 MiB."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"


def _facts(view: MessageView, now: datetime) -> Text:
    since = age((now - view.accepted_at).total_seconds())
    text = Text()
    text.append("message   ", "dim").append(view.id, "bold")
    text.append("\nsender    ", "dim").append(view.sender or "<> (a DSN)")
    text.append("\naccepted  ", "dim").append(f"{clock(view.accepted_at, now)}, {since} ago")
    text.append("\nsize      ", "dim").append(octets(view.size))
    if view.tenant:
        text.append("\ntenant    ", "dim").append(view.tenant)
    if view.priority != "normal":
        text.append("\npriority  ", "dim").append(view.priority)
    for one in view.complaints:
        who = f" by {one.recipient}" if one.recipient else ""
        text.append("\ncomplaint ", "dim").append(
            f"{one.kind}{who}, {clock(one.at, now)}", "yellow"
        )
    if view.possible_doubles:
        text.append("\ndoubles   ", "dim").append(
            f"{view.possible_doubles} possible: the outcome of an attempt was lost", "yellow"
        )
    return text


def _state(recipient: RecipientView, now: datetime) -> Text:
    text = Text(recipient.address, "bold").append("  ")
    text.append(recipient.state.value, STYLES[recipient.state])
    if recipient.next_attempt_at and not recipient.state.final:
        text.append(f", next attempt {_when(recipient.next_attempt_at, now)}", "dim")
    if recipient.last_reply and not recipient.attempts:
        text.append(f"\n  {recipient.last_reply}")
    return text


def _attempts(attempts: Sequence[AttemptView]) -> Table:
    table = plain_table("ended", "took", "host", "TLS")
    table.add_column("reply", overflow="fold", ratio=1)
    for attempt in attempts:
        place = attempt.host + (f" [{attempt.address}]" if attempt.address else "")
        table.add_row(
            attempt.at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            f"{attempt.took_ms} ms",
            Text(place),
            Text(f"{attempt.tls} ({attempt.verified})" if attempt.verified else attempt.tls or "-"),
            Text(reply(attempt)),
        )
    return table


def queue_cells(queue: QueueView, now: datetime) -> list[str | Text]:
    """The row of one domain."""
    counts = [
        Text(str(count) if count else "-", style if count else "dim")
        for count, style in (
            (queue.waiting, "cyan"),
            (queue.leased, "bold cyan"),
            (queue.deferred, "yellow"),
            (queue.held, "bold magenta"),
        )
    ]
    coming = _when(queue.next_attempt_at, now) if queue.next_attempt_at else "-"
    if queue.parked_until:
        coming = f"parked, {_when(queue.parked_until, now)}"
    return [queue.domain, *counts, age(queue.oldest_age_s), coming, Text(queue.last_reply or "-")]


def _when(at: datetime, now: datetime) -> str:
    seconds = (at - now).total_seconds()
    return f"{clock(at, now)} (in {age(seconds)})" if seconds > 0 else "now"


def _caption(view: QueuesView) -> str:
    shown = len(view.queues)
    domains = f"{view.domains} domain{'s' if view.domains != 1 else ''}"
    of = domains if shown == view.domains else f"{shown} of {domains}"
    more = " or more" if view.partial else ""
    unread = f"; {view.unreadable} of a newer version, not read" if view.unreadable else ""
    return (
        f"{of}{more}: {view.waiting} waiting, {view.leased} leased, {view.deferred} deferred, "
        f"{view.held} held{unread}"
    )


def plain_table(*columns: str, caption: str = "") -> Table:
    """A table without lines but one below its head; more columns may be added."""
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="dim",
        show_edge=False,
        pad_edge=False,
        caption=caption or None,
        caption_justify="left",
    )
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
