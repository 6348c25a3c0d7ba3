"""The reference of all settings, docs/configuration.md and deploy/relay.toml, made of the models.

`python -m relay.config.document` prints the page, `python -m relay.config.document toml` the file.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from relay.config.settings import Settings
from relay.config.values import Kind, Secret

_KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}

_PAGE = """\
# Configuration

Made from the settings' models by `relay config docs`; a test keeps both equal.

Settings are read once, when a role starts, and checked as a whole: every problem is reported at
once, with the key and the remedy, and the role ends with exit code 2. They come from, the first
that names a setting holding:

1. **The environment**: `RELAY_`, then the key in capitals with `__` for each dot, such as
   `RELAY_SMTP__LISTEN`. Lists are written with commas or as JSON, tables as `key=value` with
   commas or as JSON. An empty variable counts as not set.
2. **One TOML file**: that of `--config`, else of `RELAY_CONFIG`, else `./relay.toml` or
   `/etc/relay/relay.toml` where there is one. `deploy/relay.toml` has every setting.
3. **A running `relay up`**: where none of these names `store.url`, the data directory (`data`,
   `RELAY_DATA`; else `./relay-data`, then `./data`) is looked into for a `relay.env`, which
   `relay up` writes while it runs. So `relay queue` in another shell needs no options.
4. The default.

Unknown keys are refused. A duration is written `"30s"`, `"5m"`, `"4h"`, `"5d"` or as a number of
seconds; a size `"64KiB"`, `"50MiB"`, `"1GiB"` or as a number of octets.
"""

_FILE = """\
# Every setting of Relay with its default. Take the # off and change what should differ.
# Meaning and bounds: docs/configuration.md. Check a file by: relay config check --config FILE
"""


def page() -> str:
    """docs/configuration.md."""
    return _PAGE + "".join(_section(key, model) for key, model in groups())


def file() -> str:
    """deploy/relay.toml: every setting commented out, with its default."""
    return _FILE + "".join(_table(key, model) for key, model in groups())


def groups(
    model: type[BaseModel] = Settings, key: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    """Every group with its key, outer ones first."""
    yield key, model
    for name, field in model.model_fields.items():
        if _is_group(field):
            yield from groups(_model(field), (*key, name))


def plain(settings: BaseModel) -> dict[str, Any]:
    """The settings as nested tables, values as one writes them, secrets masked."""
    shown: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        shown[name] = plain(value) if isinstance(value, BaseModel) else _written(field, value)
    return shown


def written(settings: BaseModel, key: tuple[str, ...] = ()) -> str:
    """The settings as they hold, in TOML, secrets masked."""
    own = _settings(type(settings))
    lines = [f"\n[{'.'.join(key)}]\n"] if key and own else []
    for name, field in own:
        lines.append(f"{name} = {toml(_written(field, getattr(settings, name)))}\n")
    for name in type(settings).model_fields:
        if isinstance(group := getattr(settings, name), BaseModel):
            lines.append(written(group, (*key, name)))
    return "".join(lines)


def toml(value: object) -> str:
    """A value in TOML."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _section(key: tuple[str, ...], model: type[BaseModel]) -> str:
    rows = [_row((*key, name), field) for name, field in _settings(model)]
    if not rows:
        return ""
    title, about = (f"`[{'.'.join(key)}]`", _about(model)) if key else ("Outside any group", "")
    head = "| setting | type | default | meaning |\n|---|---|---|---|\n"
    return f"\n## {title}\n\n{about}{head}{''.join(rows)}"


def _row(key: tuple[str, ...], field: FieldInfo) -> str:
    default = toml(_written(field, field.default))
    kind = _kind(field)
    return f"| `{'.'.join(key)}` | {kind} | `{default}` | {field.description} |\n"


def _table(key: tuple[str, ...], model: type[BaseModel]) -> str:
    settings = "".join(_commented(name, field) for name, field in _settings(model))
    head = f"\n[{'.'.join(key)}]\n" if key else ""
    return head + settings if settings else ""


def _commented(name: str, field: FieldInfo) -> str:
    meaning = textwrap.wrap(f"{field.description} ({_kind(field)})", 96)
    lines = [f"# {line}" for line in meaning]
    return "\n" + "\n".join([*lines, f"#{name} = {toml(_written(field, field.default))}"]) + "\n"


def _settings(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return [item for item in model.model_fields.items() if not _is_group(item[1])]


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _model(field: FieldInfo) -> type[BaseModel]:
    model = field.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{model} is no group of settings")
    return model


def _about(model: type[BaseModel]) -> str:
    return f"{(model.__doc__ or '').strip()}\n\n"


def _written(field: FieldInfo, value: object) -> object:
    kind = _marker(field)
    return kind.show(value) if kind else value


def _marker(field: FieldInfo) -> Kind | None:
    return next((mark for mark in field.metadata if isinstance(mark, Kind)), None)


def _kind(field: FieldInfo) -> str:
    """The type in words, with the bounds."""
    mark = _marker(field)
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
    name = mark.name if mark else _KINDS[field.annotation]  # type: ignore[index]
    show = mark.show if mark and not isinstance(mark, Secret) else lambda value: value
    bounds = [
        text.format(show(getattr(mark, attribute)))
        for mark in field.metadata
        for attribute, text in _BOUNDS.items()
        if hasattr(mark, attribute)
    ]
    return ", ".join([name, *bounds])


if __name__ == "__main__":
    sys.stdout.write(file() if sys.argv[1:] == ["toml"] else page())
