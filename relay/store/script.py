"""Scripts: each a Lua file, called by its digest, or sent whole to a server that lacks it.

A file in `scripts/` is one transition and its header comment is the signature. A header line
`-- USES name` puts `scripts/lib/<name>.lua` in front of it, after the shebang line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

#: What a key or an argument may be; a number is sent as its decimal text.
Text = str | bytes | int

_USES = re.compile(r"^-- USES (\w+)$", re.MULTILINE)
#: Its keys, as its header numbers them; what has a colon is not one of the partition's fixed ones.
_KEYS = re.compile(r"^-- KEYS .*?(?=^-- (?:ARGV|Returns))", re.MULTILINE | re.DOTALL)
_NUMBERED = re.compile(r"\d+ ([a-z]+)(?![a-z]*:)")
_HOME = files("relay.store") / "scripts"


class Caller(Protocol):
    """What can send a command and give its answer later: a `Wire`, for one."""

    def call(self, *args: Text) -> asyncio.Future[Any]:
        """Send one command; an error reply is the future's exception."""
        ...


class Script:
    """A Lua file under `name`: its whole `source` and the `sha` that EVALSHA knows it by."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        # Redis names scripts by SHA-1; nothing is kept secret or authentic by it.
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha[:8]}>"

    def command(self, keys: Sequence[Text], args: Iterable[Text] = ()) -> tuple[Text, ...]:
        """The command that calls it by its digest."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def whole(self, command: Sequence[Text]) -> tuple[Text, ...]:
        """The same call with the source in it, for a server that answered NOSCRIPT."""
        return ("EVAL", self.source, *command[2:])


def assemble(text: str, chunks: dict[str, str]) -> str:
    """A script's source: its shebang line, the chunks that it uses in their order, the rest."""
    shebang, _, rest = text.partition("\n")
    if not shebang.startswith("#!lua"):
        raise ValueError("no shebang line: it decides whether the script runs at maxmemory")
    return "\n".join([shebang, *(chunks[name] for name in _USES.findall(rest)), rest])


@cache
def script(name: str) -> Script:
    """The script in `scripts/<name>.lua`."""
    text = (_HOME / f"{name}.lua").read_text(encoding="utf-8")
    chunks = {used: _chunk(used) for used in _USES.findall(text)}
    return Script(name, assemble(text, chunks))


@cache
def _chunk(name: str) -> str:
    return (_HOME / "lib" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def numbered(what: Script) -> tuple[str, ...]:
    """The names of the keys that a script's header numbers, in their order."""
    signature = _KEYS.search(what.source)
    if signature is None:
        raise ValueError(f"{what.name}.lua has no KEYS in its header")
    return tuple(_NUMBERED.findall(signature[0]))


def is_unknown(error: BaseException) -> bool:
    """Whether the server answered that it does not know the script: nothing was run."""
    return str(error).startswith("NOSCRIPT")


async def run(wire: Caller, what: Script, keys: Sequence[Text], args: Iterable[Text] = ()) -> Any:
    """The script's answer. An error reply is raised as the wire raises it; nothing is repeated."""
    command = what.command(keys, args)
    return await _answer(wire, what, command, wire.call(*command))


async def run_all(
    wire: Caller, calls: Iterable[tuple[Script, Sequence[Text], Iterable[Text]]]
) -> list[Any]:
    """The answers to many calls, sent in one go. Where some fail, all are waited for first."""
    commands = [(what, what.command(keys, args)) for what, keys, args in calls]
    sent = [(what, command, wire.call(*command)) for what, command in commands]
    answers: list[Any] = []
    failures: list[Exception] = []
    for what, command, future in sent:
        try:
            answers.append(await _answer(wire, what, command, future))
        except Exception as error:  # noqa: BLE001 - raised below, when no answer is left behind
            failures.append(error)
    if failures:
        raise failures[0]
    return answers


async def _answer(
    wire: Caller, what: Script, command: Sequence[Text], future: asyncio.Future[Any]
) -> Any:
    try:
        return await future
    except Exception as error:
        if not is_unknown(error):
            raise
    return await wire.call(*what.whole(command))
