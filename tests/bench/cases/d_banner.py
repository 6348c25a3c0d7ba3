"""Case DB: D with tarpits that are late already with their greeting."""

from msgspec import structs

from tests.bench.cases import d
from tests.bench.figures import Delay

CASE = structs.replace(
    d.CASE,
    name="DB",
    title="B with 10 tarpits (30 s at the banner)",
    quick=None,
    tarpit=Delay(30.0, "banner"),
)
