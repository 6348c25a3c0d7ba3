"""The environment as a source of settings: RELAY_SMTP__LISTEN is `smtp.listen`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

PREFIX = "RELAY_"
#: Variables that say where settings are, and are none themselves.
ABOUT_SETTINGS = frozenset({"RELAY_CONFIG"})


def variable(key: Iterable[str]) -> str:
    """The environment variable of a setting: ("smtp", "listen") gives RELAY_SMTP__LISTEN."""
    return PREFIX + "__".join(part.upper() for part in key)


def nested(env: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment names, as nested tables. An empty variable is not set.

    A name without `__` is a setting only if it has the name of one outside any group: container
    platforms make variables of their own from a service's name, such as RELAY_SMTP_SERVICE_HOST.
    """
    tables: dict[str, Any] = {}
    for name, text in env.items():
        if not name.startswith(PREFIX) or name in ABOUT_SETTINGS or not text:
            continue
        *groups, last = name.removeprefix(PREFIX).lower().split("__")
        if not groups and last != "data":
            continue
        table = tables
        for group in groups:
            inner = table.setdefault(group, {})
            table = inner if isinstance(inner, dict) else {}
        table[last] = text
    return tables


def misspelt(env: Mapping[str, str], model: type[BaseModel]) -> list[str]:
    """A problem for each variable that is a setting's but for a single `_` where two belong."""
    right = {variable(key).replace("__", "_"): variable(key) for key in keys(model)}
    return [
        f"{name}: is not a setting's name; write {right[name]}"
        for name in sorted(env)
        if name in right and name != right[name]
    ]


def keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The key of every setting in the model, groups in front."""
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += keys(kind, (*above, name))
        else:
            found.append((*above, name))
    return found
