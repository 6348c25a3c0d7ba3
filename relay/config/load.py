"""Reading the settings: the environment goes before the file, the file before what is running."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from relay.config.environment import misspelt, nested
from relay.config.problems import problems
from relay.config.settings import Settings
from relay.errors import ConfigError

#: Where the file is looked for when nothing names one.
PLACES = (Path("relay.toml"), Path("/etc/relay/relay.toml"))
#: Where a running `relay up` is looked for when nothing names a data directory.
DATA_PLACES = ("relay-data", "data")
#: The file in a data directory by which other commands find the instance that runs on it.
RUNNING = "relay.env"


def load_settings(path: str | Path | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """The settings from a TOML file and RELAY_ variables, checked as a whole.

    `path` defaults to the variable RELAY_CONFIG, then to ./relay.toml or /etc/relay/relay.toml
    where there is one; `env` to the process's environment. Where neither names a store, that of
    the `relay up` running on the data directory is taken. Raises ConfigError with all problems.
    """
    env = os.environ if env is None else env
    given = _given(path, env)
    if "url" not in _group(given, "store"):
        given = merged(nested(running(given.get("data"))), given)
    return _checked(given, path, env)


def own_settings(path: str | Path | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """The same for `relay up` itself, which takes nothing from an instance that ran before."""
    env = os.environ if env is None else env
    return _checked(_given(path, env), path, env)


def _given(path: str | Path | None, env: Mapping[str, str]) -> dict[str, Any]:
    file = settings_file(path, env)
    return merged(_read(file) if file else {}, nested(env))


def _checked(given: Mapping[str, Any], path: str | Path | None, env: Mapping[str, str]) -> Settings:
    found = misspelt(env, Settings)
    file = settings_file(path, env)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        found += problems(error.errors(), Settings, env, str(file) if file else None)
    if found:
        raise ConfigError(found)
    return settings


def settings_file(path: str | Path | None, env: Mapping[str, str]) -> Path | None:
    """The file that settings are read from, or None. A file that was named must exist."""
    named = path or env.get("RELAY_CONFIG")
    if named:
        return Path(named)
    return next((place for place in PLACES if place.is_file()), None)


def running(data: object) -> dict[str, str]:
    """The variables of the instance that runs on the data directory; empty where none does."""
    for place in (data,) if isinstance(data, str) else DATA_PLACES:
        file = Path(place) / RUNNING
        if file.is_file():
            lines = file.read_text(encoding="utf-8").splitlines()
            pairs = (line.partition("=") for line in lines if not line.startswith("#"))
            return {name: text for name, _, text in pairs if text}
    return {}


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables in one; where both have a key, `over` holds, table by table."""
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            both[key] = merged(below, value)
        else:
            both[key] = value
    return both


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: cannot be read: {error}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: is not valid TOML: {error}"]) from None


def _group(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = given.get(name)
    return group if isinstance(group, dict) else {}
