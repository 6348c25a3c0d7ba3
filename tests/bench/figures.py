"""What a run is about and what came of it: loads, figures and bars, as frozen data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from tests.bench.stage import Stage

#: The figures of one run: names as in docs/benchmarks.md, values as JSON has them.
Figures = dict[str, Any]


class Load(Struct, frozen=True, kw_only=True):
    """What the injector sends."""

    messages: int
    sessions: int = 20
    #: Octets of a message, about.
    octets: int = 4096
    #: Message i is for domain i modulo so many.
    domains: int = 1
    #: Of them, those that tarpit: the first ones.
    tarpits: int = 0
    #: Recipients of each message, in as many domains as there are.
    recipients: int = 1
    #: Messages a second, sent when due whether or not the last was answered; 0: as fast as it goes.
    rate: float = 0.0
    #: MAIL, RCPT and DATA in one write.
    pipelined: bool = False

    @property
    def healthy(self) -> int:
        """Messages for domains that do not tarpit."""
        whole, rest = divmod(self.messages, self.domains)
        return whole * (self.domains - self.tarpits) + max(rest - self.tarpits, 0)

    @property
    def due(self) -> int:
        """Recipients in healthy domains: what the sink must have seen at the end."""
        return self.healthy * self.recipients


class Delay(Struct, frozen=True):
    """How late a listener of the sink replies, and to what."""

    seconds: float
    at: Literal["banner", "rcpt", "data"] = "data"


class Bar(Struct, frozen=True):
    """What a figure has to be.

    `than`: another system, whose figure in the same case it is compared with; or a case, in which
    the same system's figure is; or "" for a number as it stands.
    """

    figure: str
    relation: Literal["at least", "at most"]
    factor: float
    than: str = ""
    #: The figure to compare with, where it has another name there.
    other: str = ""

    def met(self, value: float, base: float) -> bool:
        """Whether `value` keeps the bar, `base` being what it is compared with (1.0: nothing)."""
        bound = self.factor * base
        return value >= bound if self.relation == "at least" else value <= bound

    def text(self) -> str:
        """The bar as a table shows it."""
        sign = ">=" if self.relation == "at least" else "<="
        return f"{self.figure} {sign} {self.factor:g}{' x ' + self.than if self.than else ''}"


class Case(Struct, frozen=True, kw_only=True):
    """One case: its load, whole and quick, its script, and what it has to reach."""

    name: str
    title: str
    load: Load
    #: The load of `make bench-quick`; None: the case is no part of it.
    quick: Load | None = None
    script: Callable[[Stage], Figures]
    bars: tuple[Bar, ...] = ()
    #: What the sink does to healthy domains, and to tarpits.
    healthy: Delay | None = None
    tarpit: Delay | None = None
    #: Milliseconds that each sync of the disk takes more than it does; 0: as it is.
    sync_ms: float = 0.0
    #: Settings of Relay for this case alone, TOML; "" for its defaults.
    relay_settings: str = ""
    #: The same for Postfix, as in main.cf.
    postfix_settings: str = ""
    #: Seconds that one run may take.
    limit: float = 90.0
    #: The figures that the table shows besides those that all cases have, and what they are.
    shown: dict[str, str] = {}
    #: The systems that it can be run with; none named: all.
    systems: tuple[str, ...] = ()
