"""A message that ends its workers is held; the rest of its domain and all else is delivered."""

from __future__ import annotations

import pytest

from tests.faults.ledger import Load, check
from tests.faults.poison import MARK, TOUCHED, deaths, poisoned
from tests.faults.row import done
from tests.faults.stage import Stage
from tests.support.site import Site
from tests.support.source import Source, submit

_PREFIX = "relay:{p00}:"


@pytest.mark.timeout(240)
def test_what_ends_workers_is_held_and_nothing_else_is() -> None:
    load = Load("well", longest=3.0)
    with Site() as site, Stage(site, marked=MARK, services=False) as stage:
        load.place(site)
        with Source(stage.port, load.posts(), rate=20) as source:
            stage.until(lambda: len(source.accepted) > 20)
            bad = submit(stage.port, poisoned("bad", "bad@well1.test"))["bad"]
            died = len(list(deaths(stage, TOUCHED)))
            source.enough()
            source.wait(30)
        stage.ready()
        held = [name.decode() for name in stage.store.command("ZRANGE", _PREFIX + "held", 0, -1)]
        assert held == [f"{bad}.0"]
        assert 2 <= died <= 5
        events = stage.store.command("XRANGE", _PREFIX + "events", "-", "+")
        told = [fields[n + 1][:1] for _, fields in events for n in range(0, len(fields), 2)
                if fields[n].decode() == held[0]]  # fmt: skip
        assert told.count(b"h") == 1
        counted = [
            record["held"]
            for one in stage.processes
            if one.name == "worker"
            for record in one.records("leases reclaimed")
        ]
        assert sum(counted) == 1
        assert stage.run("cancel", bad).returncode == 0
        stage.until(lambda: done(stage), lambda: stage.left(), 60)
        verdict = check(stage.store, site, [source])
        verdict.assert_kept()
