"""The cases, one in each module: its name there is CASE."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.bench.figures import Case


def all_cases() -> dict[str, Case]:
    """Every case by its name, in the order of the modules' names."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    cases: list[Case] = [module.CASE for module in modules]
    return {case.name: case for case in cases}
