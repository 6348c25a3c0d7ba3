"""The reference of all instruments, docs/metrics.md, made of their declarations.

`python -m relay.metrics.document` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from msgspec import Struct
from prometheus_client.metrics_core import Metric

from relay import metrics
from relay.metrics import OTHER

_PAGE = """\
# Metrics

Made from the instruments in relay/metrics by `make docs`; a test keeps both equal.

Each role serves its metrics on a `/metrics` of its own for Prometheus: where, says
`metrics.listen`, for the exporter `exporter.listen` ([configuration](configuration.md)). Times are
in seconds and sizes in octets. Counters and histograms tell of one process since it began: sum
their `rate()` over the fleet, and a counter of what a process never does stays 0 there. A label has
the values listed and, where that may be, `other` for whatever was not foreseen; so the number of
series is bounded. `site` and `tenant` have the `metrics.names` of them that carried most in the
last hour to hour and a half, as the whole fleet counts it through the store; all the rest together
are `other`, and who gets a series begins in it at 0. The `process_` and `python_gc_` metrics of
prometheus-client are served as well.

`relay_first_attempt_seconds` and `relay_delivered_seconds` carry exemplars where Prometheus asks
for OpenMetrics, as it does with `--enable-feature=exemplar-storage`: `message` is the id that
`relay show` takes, of every delivery older than a second and of one in a hundred others. Histograms
have fixed buckets, for prometheus-client has no native ones.
"""
_EVERY = """
## Every role

"""
_EXPORTER = """
## The exporter alone

What it reads from the store and the broker every five seconds. It shows the same to everyone: one
of them is enough. Nothing of the queue is scanned: with a million deliveries in 100,000 domains a
reading took 2.8 ms, of which 0.6 ms was the store's CPU (`python -m tests.bench.exporter`). What
tenants take up is read of all that have open messages: 1.3 ms for 1,000 of them, 86 ms for 100,000.

"""
_HEAD = "| name | type | labels | meaning |\n|---|---|---|---|\n"


#: Labels whose values are not Relay's to list.
_FROM_OUTSIDE = ("site", "tenant", "node")


class Entry(Struct, frozen=True):
    """An instrument as Prometheus sees it; a histogram's name is what its series begin with."""

    name: str
    kind: str
    #: The values of each label, `other` left out.
    labels: dict[str, tuple[str, ...]]
    help: str


def page() -> str:
    """docs/metrics.md."""
    every = list(entries(metrics.PROCESS.collect()))
    fleet = [entry for entry in entries(metrics.FLEET.collect()) if entry not in every]
    return _PAGE + _EVERY + _table(every) + _EXPORTER + _table(fleet)


def entries(families: Iterable[Metric]) -> Iterator[Entry]:
    """Relay's own instruments, in the order of their declaration."""
    for family in families:
        if family.name.startswith("relay_"):
            yield _entry(family)


def _entry(family: Metric) -> Entry:
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    kind = "gauge" if family.type == "info" else family.type
    return Entry(family.name + suffix, kind, _labels(family), family.documentation)


def _labels(family: Metric) -> dict[str, tuple[str, ...]]:
    """Info has the one value that it tells, which is no part of a declaration.

    A family that has no series yet knows the names of its labels all the same.
    """
    names: Iterable[str] = getattr(family, "_labelnames", ())
    found: dict[str, dict[str, None]] = {name: {} for name in names}
    for sample in family.samples:
        for label, value in sample.labels.items():
            values = found.setdefault(label, {})
            if family.type != "info" and value != OTHER and label not in _FROM_OUTSIDE:
                values[value] = None
    found.pop("le", None)
    return {label: tuple(values) for label, values in found.items()}


def _table(found: Iterable[Entry]) -> str:
    return _HEAD + "".join(map(_row, found))


def _row(entry: Entry) -> str:
    labels = "; ".join(
        f"`{label}`: {', '.join(values)}" if values else f"`{label}`"
        for label, values in entry.labels.items()
    )
    return f"| `{entry.name}` | {entry.kind} | {labels} | {entry.help} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
