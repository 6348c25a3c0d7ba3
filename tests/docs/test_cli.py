"""docs/cli.md lists what there is: every command, option and field, and no other."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from relay.cli import exits
from relay.cli.arguments import parser
from relay.cli.submit import Submitted
from relay.console.doctor.check import Checkup
from relay.console.events import EventView
from relay.console.explain import Explanation
from relay.console.moving import Moved
from relay.console.operations import Done
from relay.console.shape import ShapeView
from relay.console.top import TopView
from relay.console.views import CancelView, MessageView, QueuesView
from relay.identity.views import ChangeView, CredentialView
from tests.docs.conftest import Sandbox
from tests.support.documents import DOCS, rows

PAGE = DOCS / "cli.md"
TEXT = PAGE.read_text(encoding="utf-8")


class Cancelled(msgspec.Struct):
    """What `relay cancel --json` prints."""

    id: str
    deliveries: tuple[CancelView, ...]


class Audit(msgspec.Struct):
    """What `relay audit --json` prints."""

    changes: tuple[ChangeView, ...]


VIEWS = {
    "relay show ID": MessageView,
    "relay queue": QueuesView,
    "relay doctor": Checkup,
    "relay tail": EventView,
    "relay top": TopView,
    "relay explain ID": Explanation,
    "relay qshape": ShapeView,
    "relay cancel ID": Cancelled,
    "relay hold": Done,
    "relay drain": Moved,
    "relay send": Submitted,
    "relay audit": Audit,
}


def commands(of: ArgumentParser, above: str = "relay") -> Iterator[tuple[str, ArgumentParser]]:
    """Every command that help shows, by its whole name."""
    for action in of._actions:
        if isinstance(action, _SubParsersAction):
            shown = {choice.dest for choice in action._choices_actions}
            for name in sorted(shown):
                yield from commands(action.choices[name], f"{above} {name}")
            return
    yield above, of


COMMANDS = dict(commands(parser()))


def test_every_command_is_in_the_table_and_no_other() -> None:
    table = TEXT.split("## Exit codes")[0]
    listed = set()
    for cell in re.findall(r"^\| `relay ([^|]+)\|", table, re.MULTILINE):
        words = cell.replace("`", "").replace(",", " ").split()
        if words[0] in ("config", "user", "token"):
            listed |= {f"relay {words[0]} {word}" for word in words[1:] if word != "relay"}
        elif words[0] == "hold":
            listed |= {f"relay {word}" for word in words}
        else:
            listed.add(f"relay {words[0]}")
    assert listed == set(COMMANDS)


def test_every_option_is_told_and_no_other() -> None:
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    there = {
        option
        for command in COMMANDS.values()
        for action in command._actions
        for option in action.option_strings
    }
    assert told - there == set()
    assert {option for option in there if option.startswith("--")} - told == set()


def test_the_exit_codes_are_those_of_the_code() -> None:
    table = {int(row[0].strip("| ")) for row in rows(PAGE, "Exit codes")}
    there = {value for name, value in vars(exits).items() if name.isupper()}
    assert table == there


def fields(view: type, above: str = "") -> set[str]:
    """Every field of a view that holds a value, by its path."""
    found = set()
    for name, kind in get_type_hints(view).items():
        inner = get_args(kind)[0] if get_args(kind) else None
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            many = type(None) not in get_args(kind)
            found |= fields(inner, f"{above}{name}[]." if many else f"{above}{name}.")
        else:
            found.add(f"{above}{name}")
    return found


def documented(command: str) -> set[str]:
    """The fields in the table under "`relay show ID --json`:"."""
    _, _, below = TEXT.partition(f"`{command} --json`:\n\n")
    table = below.partition("\n\n")[0]
    found, above = set(), ""
    for line in table.splitlines()[2:]:
        for name in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
            if not name.startswith("."):
                above = name.rpartition(".")[0]
            found.add(f"{above}{name}" if name.startswith(".") else name)
    return found


def test_the_fields_of_a_credential_are_those_of_the_page() -> None:
    table = TEXT.partition("`relay user show NAME --json`")[2].partition("`remove` prints")[0]
    cells = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    told = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert told == fields(CredentialView)


@pytest.mark.parametrize("command", VIEWS)
def test_the_fields_of_the_json_are_those_of_the_page(command: str) -> None:
    assert documented(command) == fields(VIEWS[command])


def test_the_commands_print_that_json(sandbox: Sandbox) -> None:
    def said(arguments: str) -> Any:
        return json.loads(sandbox.shell(f".venv/bin/relay {arguments} --json"))

    sent = said("send --from a@a.example --to b@b.example --subject Fields --text x")
    assert set(sent) == documented("relay send")
    sandbox.until_delivered("Fields")
    shown = said(f"show {sent['id']}")
    [recipient] = shown["recipients"]
    assert {f"recipients[].{name}" for name in recipient} - {"recipients[].attempts"} == {
        name for name in documented("relay show ID") if re.match(r"recipients\[\]\.\w+$", name)
    }
    assert {name.split("[")[0] for name in documented("relay queue")} == set(said("queue"))
    assert set(said("config check")) == {"file", "problems"}
    assert "smtp" in said("config show")
