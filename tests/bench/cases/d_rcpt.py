"""Case DR: D with tarpits that are late with each answer to RCPT."""

from msgspec import structs

from tests.bench.cases import d
from tests.bench.figures import Delay

CASE = structs.replace(
    d.CASE,
    name="DR",
    title="B with 10 tarpits (30 s at RCPT)",
    quick=None,
    tarpit=Delay(30.0, "rcpt"),
)
