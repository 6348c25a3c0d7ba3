"""The systems under test."""

from __future__ import annotations

from tests.bench.systems.base import System
from tests.bench.systems.postfix import Postfix
from tests.bench.systems.relay import Relay

#: By name, in the order in which they take turns.
SYSTEMS: dict[str, type[System]] = {"relay": Relay, "postfix": Postfix}
