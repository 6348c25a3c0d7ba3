import re
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families

from relay import metrics
from relay.metrics import Bounded, instruments
from relay.metrics.document import page

OURS = [
    family
    for family in text_string_to_metric_families(generate_latest(metrics.FLEET).decode())
    if family.name.startswith("relay_")
]


def test_every_name_follows_the_conventions() -> None:
    assert len(OURS) > 40
    for family in OURS:
        assert re.fullmatch(r"relay(_[a-z0-9]+)+", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        else:
            assert not family.name.endswith("_total")
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes"))
        assert not re.search(r"_(count|sum|bucket|created)$", family.name), "a histogram's own"


def test_every_unit_is_a_base_unit_and_stands_last() -> None:
    others = {"ms", "milliseconds", "us", "minutes", "hours", "days", "kb", "kib", "mb", "octets"}
    for family in OURS:
        words = family.name.split("_")
        assert others.isdisjoint(words), family.name
        assert {"seconds", "bytes", "ratio"}.isdisjoint(words[:-1]), family.name


def test_no_label_repeats_the_name_of_its_instrument_or_is_prometheus_own() -> None:
    for family in OURS:
        for label in {label for sample in family.samples for label in sample.labels}:
            assert re.fullmatch(r"[a-z]+", label)
            assert label not in family.name.split("_")
            assert label not in {"job", "instance", "quantile"}
            assert label != "le" or family.type in ("histogram", "gaugehistogram")


def test_the_reference_is_made_from_the_instruments() -> None:
    reference = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert reference.read_text(encoding="utf-8") == page(), "run: make docs"


def test_the_reference_has_every_instrument_once() -> None:
    named = re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE)
    # The parser, unlike Prometheus, takes the suffix of a counter off.
    suffix = {"counter": "_total"}
    assert sorted(named) == sorted(family.name + suffix.get(family.type, "") for family in OURS)


def test_every_help_text_is_a_sentence() -> None:
    for family in OURS:
        assert len(family.documentation) > 15, family.name
        assert family.documentation.endswith("."), family.name


def test_no_instrument_has_more_series_than_a_dashboard_can_bear() -> None:
    for family in OURS:
        series = {tuple(sorted((sample.labels or {}).items())) for sample in family.samples}
        assert len(series) <= 300, family.name


def test_gauges_of_the_fleet_are_served_by_the_exporter_alone() -> None:
    every_role = generate_latest(metrics.PROCESS)
    assert b"# TYPE relay_queue_deliveries" not in every_role
    assert b"relay_attempts_total" in every_role
    exporter = generate_latest(metrics.FLEET)
    assert b'relay_queue_deliveries{state="ready"} ' in exporter
    assert b"relay_attempts_total" in exporter
    assert b"process_resident_memory_bytes" in exporter


def test_what_is_served_says_which_build_it_is() -> None:
    assert re.search(
        rb'relay_build_info\{.*version="[0-9.]+.*"\} 1.0', generate_latest(metrics.PROCESS)
    )


def test_openmetrics_can_be_rendered_too() -> None:
    render, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    assert render(metrics.FLEET).endswith(b"# EOF\n")


def test_unknown_label_values_count_as_other_and_make_no_series() -> None:
    registry = CollectorRegistry()
    family = Counter("test_total", "A test.", ["way", "reason"], registry=registry)
    bounded = Bounded(family, ("smtp", "http"), ("size",))
    before = len(bounded)
    bounded["smtp", "size"].inc(2)
    bounded["smtp", "<script>"].inc(3)
    bounded["carrier pigeon", "size"].inc(4)
    assert registry.get_sample_value("test_total", {"way": "smtp", "reason": "size"}) == 2
    assert registry.get_sample_value("test_total", {"way": "smtp", "reason": "other"}) == 3
    assert registry.get_sample_value("test_total", {"way": "other", "reason": "size"}) == 4
    assert len(bounded) == before == 6


def test_a_single_label_is_looked_up_by_its_value() -> None:
    registry = CollectorRegistry()
    bounded = Bounded(Counter("test_total", "A test.", ["way"], registry=registry), ("smtp",))
    bounded["smtp"].inc()
    bounded["?"].inc(5)
    assert registry.get_sample_value("test_total", {"way": "smtp"}) == 1
    assert registry.get_sample_value("test_total", {"way": "other"}) == 5


@pytest.mark.parametrize(
    ("code", "name"),
    [(250, "2yz"), (421, "4yz"), (554, "5yz"), (0, "none"), (-1, "none"), (354, "none")],
)
def test_replies_fall_into_classes(code: int, name: str) -> None:
    assert metrics.reply_class(code) == name


def test_counting_costs_the_hot_path_little() -> None:
    # A tenth of the budget of a message; the machine may be busy, so it is this thread's CPU time.
    runs = 20_000

    def each(work: Callable[[], None]) -> float:
        return min(timeit.repeat(work, timer=time.thread_time, number=runs, repeat=5)) / runs

    assert each(lambda: metrics.OUTCOMES["delivered", "2yz"].inc()) < 5e-6
    assert each(lambda: metrics.DELIVERED_SECONDS.observe(0.003)) < 5e-6
    assert each(lambda: metrics.SITES.of("mx.example").took(0.003)) < 5e-6


def test_counters_and_histograms_are_told_as_prometheus_client_tells_its_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    buckets = (0.001, 0.5, 1, 432000.0)
    counters = (
        instruments.Counter("test_total", "A test.", ("way",), ours),
        Counter("test_total", "A test.", ("way",), registry=theirs),
    )
    histograms = (
        instruments.Histogram("test_seconds", "A test.", buckets, (), ours),
        Histogram("test_seconds", "A test.", buckets=buckets, registry=theirs),
    )
    for counter in counters:
        counter.labels("smtp").inc()
        counter.labels("smtp").inc(2.5)
        counter.labels("http")
    for histogram in histograms:
        for seconds in (0.001, 0.0011, 0.5, 3, 1e9):
            histogram.observe(seconds)
        histogram.observe(0.7, {"message": "m"})
    render, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    # An example says when it was.
    shown = [re.sub(r" [0-9.]+\n", " T\n", render(each).decode()) for each in (ours, theirs)]
    assert 'le="1.0"} 4.0 # {message="m"} 0.7' in shown[0]
    assert shown[0] == shown[1]
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_name_cannot_be_there_twice() -> None:
    registry = CollectorRegistry()
    instruments.Counter("test_total", "A test.", (), registry)
    with pytest.raises(ValueError, match="Duplicated"):
        instruments.Counter("test_total", "A test.", (), registry)
