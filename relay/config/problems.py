"""What is wrong with settings, said so that each line names the key, the fault and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from relay.config.environment import variable
from relay.config.values import Kind, mask

_REMEDIES = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text in quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}


def problems(
    errors: Sequence[ErrorDetails],
    model: type[BaseModel],
    env: Mapping[str, str],
    path: str | None,
) -> list[str]:
    """One line about each error of pydantic's; a list is not called empty for its bad items."""
    starts = {error["loc"][:-1] for error in errors if isinstance(error["loc"][-1], int)}
    return [
        _problem(error, model, env, path)
        for error in errors
        if error["type"] != "too_short" or error["loc"] not in starts
    ]


def _problem(
    error: ErrorDetails, model: type[BaseModel], env: Mapping[str, str], path: str | None
) -> str:
    parts = [part for part in error["loc"] if isinstance(part, str)]
    where = _place(parts, env, path)
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(parts)}: unknown setting{_meant(parts, model)} ({where})"
    return f"{'.'.join(parts)}: {_fault(error, _kind(parts, model))}{_given(error)} ({where})"


def _fault(error: ErrorDetails, kind: Kind | None) -> str:
    context: dict[str, Any] = error.get("ctx") or {}
    if error["type"] == "value_error":
        return str(context["error"])
    remedy = _REMEDIES.get(error["type"])
    if kind:
        context = {name: _shown(bound, kind) for name, bound in context.items()}
    return remedy.format(**context) if remedy else error["msg"]


def _shown(bound: object, kind: Kind) -> object:
    return kind.show(bound) if isinstance(bound, int | float) else bound


def _given(error: ErrorDetails) -> str:
    """The value as given, without passwords; tables and lists are left out."""
    value = error["input"]
    if isinstance(value, str):
        return f', not "{mask(value)[:80]}"'
    if isinstance(value, int | float):
        return f", not {value}"
    return ""


def _kind(parts: Sequence[str], model: type[BaseModel]) -> Kind | None:
    """How the setting's value is written, where that differs from how it is kept."""
    group = _group(parts[:-1], model)
    field = group.model_fields.get(parts[-1]) if group else None
    marks = field.metadata if field else ()
    return next((mark for mark in marks if isinstance(mark, Kind)), None)


def _group(parts: Sequence[str], model: type[BaseModel]) -> type[BaseModel] | None:
    for part in parts:
        field = model.model_fields.get(part)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    return model


def _place(parts: Sequence[str], env: Mapping[str, str], path: str | None) -> str:
    """Where to mend it: the variable if it is set, else the file."""
    for length in range(len(parts), 0, -1):
        if (name := variable(parts[:length])) in env:
            return f"from {name}"
    return f"in {path}" if path else f"set {variable(parts)}"


def _meant(parts: Sequence[str], model: type[BaseModel]) -> str:
    """What the unknown key is near to, if anything."""
    group = _group(parts[:-1], model)
    if group is None:
        return ""
    near = difflib.get_close_matches(parts[-1], group.model_fields, n=1)
    if near:
        return f"; did you mean {'.'.join([*parts[:-1], near[0]])}?"
    return f"; {'.'.join(parts[:-1]) or 'the top level'} has {', '.join(group.model_fields)}"
