"""Why a delivery is not being sent: one line a cause, the decisive one first. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from relay.console.records import moment, reply_line
from relay.delivery.unroutable import RouteFailure
from relay.policy.shaping import Limits
from relay.store.codec import Flag, Place, Stored
from relay.store.control import Paused
from relay.store.paths import PathState
from relay.store.waiting import QueueState

_SPANS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


class Finding(Struct, frozen=True):
    """One thing to know."""

    #: A stable word for it (docs/cli.md).
    what: str
    #: One line, with what to do where something can be done.
    text: str


class Subject(Struct, frozen=True):
    """A delivery and what surrounds it; times in ms by the store's clock."""

    message: str
    stored: Stored
    #: Until when it is leased, or since when it is held.
    score_ms: int
    queue: QueueState
    #: The last reply as a line, "" before the first.
    last: str
    now_ms: int


def why_delivery(of: Subject) -> Iterator[Finding]:
    """What keeps this delivery itself; nothing where it is due and free."""
    stored = of.stored
    if Flag.CANCEL in stored.flags:
        text = "it is being cancelled: it ends with the attempt that is under way"
        yield Finding("cancelling", text)
    if stored.place is Place.LEASED:
        yield _leased(of)
    if stored.place is Place.HELD:
        yield _held(of)
    elif Flag.HOLD in stored.flags:
        yield Finding("held", "it is to be held when the attempt under way has ended")
    yield from queue_findings(of.queue, stored, of.now_ms)
    if stored.place in (Place.LATER, Place.STAGED):
        after = f", after {of.last}" if of.last else ""
        when = f"{_at(stored.ms)} ({_ahead(stored.ms, of.now_ms)})"
        yield Finding("schedule", f"it waits for its next attempt at {when}{after}")


def queue_findings(queue: QueueState, stored: Stored | None, now_ms: int) -> Iterator[Finding]:
    """What keeps a whole queue or tenant."""
    for paused in queue.paused:
        yield _paused(paused)
    # What waits for a later time is not kept by a site that rests until an earlier one.
    if queue.parked_ms > now_ms and (stored is None or stored.place is Place.READY):
        why = reply_line(queue.reply)
        when = f"{_at(queue.parked_ms)} ({_ahead(queue.parked_ms, now_ms)})"
        yield Finding("parked", f"{queue.queue} rests until {when}: {why}")


def route_finding(failure: RouteFailure) -> Finding:
    """There is nowhere to send it."""
    then = "it bounces with the next attempt" if failure.permanent else "it is tried again"
    return Finding("no-route", f"there is no route, so {then}: {reply_line(failure.reply)}")


def path_findings(path: PathState, limits: Limits) -> Iterator[Finding]:
    """What keeps all mail to a site."""
    site, now_ms = path.path.site, path.now_ms
    if path.state == "dead":
        when = f"{_at(path.until_ms)} ({_ahead(path.until_ms, now_ms)})"
        yield Finding("breaker", f"the breaker of {site} is dead until {when}: {path.reply}")
    elif path.state == "probe":
        text = f"the breaker of {site} lets one connection find out: {path.reply}"
        yield Finding("breaker", text)
    for what, rate, arrival in (
        ("deliveries", limits.delivery_rate, path.deliveries_us),
        ("connections", limits.connection_rate, path.connections_us),
    ):
        wait_ms = rate.wait_ms(arrival, now_ms * 1000) if rate else 0
        if rate and wait_ms:
            most = f"{rate.count} in {rate.seconds:g} s (delivery.rates.{what})"
            yield Finding("rate", f"the rate of {what} is used up for {_span(wait_ms)}: {most}")
    window = min(path.window or limits.initial, limits.connections)
    if path.in_use >= window:
        cause = (
            "delivery.concurrency.limit"
            if window == limits.connections
            else "its answers allow no more for now"
        )
        waits = f", {path.waiters} queues wait" if path.waiters else ""
        text = f"all {window} connections that {site} may have are in use{waits}: {cause}"
        yield Finding("window", text)


def path_line(path: PathState, limits: Limits) -> str:
    """How a path stands, in few words."""
    window = min(path.window or limits.initial, limits.connections)
    return f"{path.in_use} of {window} connections in use, breaker {path.state}"


def _leased(of: Subject) -> Finding:
    until, holder = of.score_ms, of.stored.holder
    if until and until <= of.now_ms:
        text = f"the lease of {holder} ended {_span(of.now_ms - until)} ago: it is about to go back"
        return Finding("lease-over", text)
    left = f"until {_at(until)} ({_ahead(until, of.now_ms)}) unless renewed"
    return Finding("leased", f"an attempt is under way: worker {holder} holds it {left}")


def _held(of: Subject) -> Finding:
    since = f"it is held since {_at(of.score_ms)}"
    release = f"relay release {of.message} lets it go on"
    if Flag.ALONE in of.stored.flags and of.stored.losses:
        lost = f"{of.stored.losses + 1} workers ended while they had it"
        return Finding("held", f"{since}, as {lost}; look at it before {release}")
    return Finding("held", f"{since}; {release}")


def _paused(paused: Paused) -> Finding:
    word, option = ("domain", "--domain") if paused.kind == "queue" else ("tenant", "--tenant")
    why = f" ({paused.why})" if paused.why else ""
    name = paused.name or '""'
    text = f"the {word} {name} is held as a whole since {_at(paused.since_ms)}{why}; "
    return Finding(f"{word}-held", f"{text}relay release {option} {name} lets it go on")


def _at(ms: int) -> str:
    return moment(ms).isoformat(timespec="seconds").replace("+00:00", "Z")


def _ahead(ms: int, now_ms: int) -> str:
    return f"in {_span(ms - now_ms)}" if ms > now_ms else "now"


def _span(ms: int) -> str:
    for length, unit in _SPANS:
        if ms >= length:
            return f"{ms // length} {unit}"
    return "a moment"
