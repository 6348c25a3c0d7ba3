"""The command line from outside: what it prints, and what it ends with."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.relay import relay

BAD = Path(__file__).parent / "bad_configs"


def test_help_comes_at_once_and_loads_nothing_heavy() -> None:
    began = time.perf_counter()
    done = relay("--help")
    assert time.perf_counter() - began < 2, "far more than the 0.3 s that it may take unloaded"
    assert done.returncode == 0
    assert "queue     what waits, by domain" in done.stdout
    assert "sink" not in done.stdout


def test_finding_the_command_imports_neither_settings_nor_tables() -> None:
    done = relay("--help", python=["-X", "importtime"])
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "relay.cli.arguments" in imported
    assert not imported & {"pydantic", "rich", "msgspec", "asyncio", "relay.config"}


@pytest.mark.parametrize("command", ["frobnicate", "show", "queue --limit x"])
def test_wrong_usage_ends_with_2(command: str) -> None:
    assert relay(*command.split()).returncode == 2


@pytest.mark.parametrize("command", ["smtp", "worker", "exporter", "queue", "config check"])
def test_every_problem_of_the_settings_is_a_line_and_ends_with_2(command: str) -> None:
    done = relay(*command.split(), "--config", str(BAD / "bounds/relay.toml"))
    assert done.returncode == 2
    told = (BAD / "bounds/problems.txt").read_text().replace("in relay.toml", "in {}")
    expected = told.format(*[BAD / "bounds/relay.toml"] * told.count("{}"))
    assert done.stderr == "".join(f"relay: {line}\n" for line in expected.splitlines())


def test_what_is_no_message_id_is_not_found() -> None:
    done = relay("show", "nonsense")
    assert (done.returncode, done.stderr) == (1, "relay: nonsense is no message id\n")


def test_config_show_masks_passwords() -> None:
    done = relay("config", "show", RELAY_STORE__URL="redis://me:s3cret@store.example:6379/0")
    assert 'url = "redis://me:***@store.example:6379/0"' in done.stdout
    assert "s3cret" not in done.stdout


def test_config_show_is_a_settings_file(tmp_path: Path) -> None:
    shown = relay("config", "show", RELAY_DELIVERY__ROUTES="*=192.0.2.1:25").stdout
    (tmp_path / "all.toml").write_text(shown)
    done = relay("config", "show", "--config", str(tmp_path / "all.toml"))
    assert done.stdout == shown


def test_config_check_tells_problems_in_json(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[smtp]\nhostnam = 'x'\n")
    done = relay("config", "check", "--json", "--config", str(file))
    assert done.returncode == 2
    assert json.loads(done.stdout) == {
        "file": str(file),
        "problems": [f"smtp.hostnam: unknown setting; did you mean smtp.hostname? (in {file})"],
    }


def test_sending_where_nobody_listens_ends_with_3() -> None:
    done = relay(
        *("send", "--from", "a@a.example", "--to", "b@b.example", "--text", "hello"),
        RELAY_SMTP__LISTEN="127.0.0.1:1",
    )
    assert done.returncode == 3
    assert done.stderr.startswith("relay: no SMTP server at 127.0.0.1:1: ")


@pytest.mark.parametrize("command", ["queue", "smtp"])
def test_a_store_that_is_not_there_ends_with_3_and_the_settings_name(command: str) -> None:
    done = relay(command, RELAY_STORE__URL="redis://127.0.0.1:1/0")
    assert done.returncode == 3
    assert done.stderr.startswith("relay: the store gives no good answer: 127.0.0.1:1/0: ")
    assert "RELAY_STORE__URL" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["send", "/nowhere.eml"], "[Errno 2] No such file or directory: '/nowhere.eml'"),
        (["send", "--text", "x"], "--text needs --from and --to"),
        (["send", "-"], "the message has no recipient: name one by --to"),
        (
            ["up", "--exit-after-samples"],
            "--exit-after-samples: there are samples in the sandbox only; add --sandbox",
        ),
    ],
)
def test_a_command_that_makes_no_sense_says_why(arguments: list[str], problem: str) -> None:
    done = relay(*arguments)
    assert (done.returncode, done.stderr) == (2, f"relay: {problem}\n")
