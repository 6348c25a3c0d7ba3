"""The README's examples, taken out of it and run as they stand."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.conftest import Sandbox
from tests.support.documents import README, Block, blocks, commands
from tests.support.ports import free_port
from tests.support.programs import program
from tests.support.relay import command, environment, relay
from tests.support.up import eventually
from tests.support.valkey import ValkeyServer

BLOCKS = blocks(README)
SUBMIT = [block for block in BLOCKS if block.section == "Submit"]
_SUBJECT = re.compile(r"Hello by [A-Za-z ]+[A-Za-z]")


def subject_of(block: Block) -> str:
    """Each example has one of its own."""
    [subject] = {found[0] for found in _SUBJECT.finditer(block.text)}
    return subject


@pytest.mark.parametrize("block", SUBMIT, ids=subject_of)
def test_what_an_example_submits_is_delivered(block: Block, sandbox: Sandbox) -> None:
    for name in ("swaks", "curl"):
        if f"{name} --" in block.text:
            program(name)
    if block.language == "python":
        sandbox.run(sys.executable, "-c", sandbox.adapted(block.text))
    else:
        sandbox.shell(block.text)
    text = sandbox.until_delivered(subject_of(block))
    assert "Return-Path: <ann@example.com>" in text
    assert "Delivered-To: bob@example.net" in text
    assert "Hello Bob." in text


def test_there_is_an_example_for_each_way_in() -> None:
    assert {subject_of(block) for block in SUBMIT} == {
        f"Hello by {way}"
        for way in (
            *("smtplib", "curl", "swaks", "relay send", "Celery", "HTTP", "the Python client"),
        )
    }


def test_what_to_look_at_shows_something(sandbox: Sandbox) -> None:
    sent = sandbox.shell(
        ".venv/bin/relay send --json --from ann@example.com --to bob@example.net "
        "--subject Looked-at --text Hello"
    )
    sandbox.until_delivered("Looked-at")
    [block] = [block for block in BLOCKS if block.section == "Look"]
    program("curl")
    shown = sandbox.shell(block.text.replace("show ID", f"show {json.loads(sent)['id']}"))
    assert re.search(r"Nothing is queued|domain", shown)
    assert re.search(r"bob@example\.net +(delivered|leased)", shown)
    assert 'relay_queue_deliveries{state="ready"}' in shown


def test_the_settings_for_one_machine_are_good(tmp_path: Path) -> None:
    [block] = [block for block in BLOCKS if block.language == "toml"]
    file = tmp_path / "relay.toml"
    file.write_text(block.text)
    done = relay("config", "check", "--config", str(file))
    assert done.returncode == 0, done.stderr


class Fleet:
    """The servers and the roles of "On several machines", on free ports of this one."""

    def __init__(self, place: Path, sandbox: Sandbox) -> None:
        servers, roles = [block.text for block in BLOCKS if block.section == "Run it for real"][1:]
        self._place = place
        self._roles = commands(roles)
        #: The ports that the README names, and those that are free here.
        self._ports = {f":{port}": f":{free_port()}" for port in (9926, 9927)}
        self.servers: list[ValkeyServer] = []
        for words in commands(servers):
            server = _server(words)
            self.servers.append(server)
            self._ports[f":{words[words.index('--port') + 1]}/"] = f":{server.port}/"
        self.smtp = f"127.0.0.1:{free_port()}"
        #: What the README leaves at its default, which another test may have taken.
        self._variables = {
            "RELAY_SMTP__LISTEN": self.smtp,
            "RELAY_EXPORTER__LISTEN": f"127.0.0.1:{free_port()}",
            "RELAY_DELIVERY__ROUTES": f"*=127.0.0.1:{sandbox.up.sink}",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all of it."""
        for server in self.servers:
            server.start()
        for words in self._roles:
            variables = dict(word.split("=", 1) for word in words if "=" in word)
            variables = {name: self._adapted(text) for name, text in variables.items()}
            if words[0] == "export":
                self._variables |= variables
            else:
                self._run(words[words.index("relay") + 1 :], self._variables | variables)

    def end(self) -> None:
        """End all of it as an operator would."""
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        try:
            assert [process.wait(60) for process in self._running] == [0] * len(self._running)
        finally:
            for process in self._running:
                process.kill()
                process.wait()
            for server in self.servers:
                server.remove()

    def sent(self, subject: str) -> bool:
        """Whether a message was accepted."""
        done = relay(
            *("send", "--from", "ann@example.com", "--to", "bob@example.net"),
            *("--subject", subject, "--text", "Hello Bob."),
            stdin=b"",
            **self._variables,
        )
        return done.returncode == 0

    def _adapted(self, text: str) -> str:
        for usual, here in self._ports.items():
            text = text.replace(usual, here)
        return text

    def _run(self, words: list[str], variables: dict[str, str]) -> None:
        with (self._place / f"{words[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                command(*words),
                cwd=self._place,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running.append(process)


def _server(words: list[str]) -> ValkeyServer:
    """A server with the options of a command line, on a port and in a directory of its own."""
    assert words[0] == "valkey-server"
    options = dict(zip(words[1::2], words[2::2], strict=True))
    del options["--port"]
    return ValkeyServer(binary="", **{key[2:]: text for key, text in options.items()})


@contextlib.contextmanager
def running(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet that runs."""
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.end()


def test_the_roles_run_by_themselves_over_servers_as_described(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    with running(Fleet(tmp_path, sandbox)) as fleet:
        eventually(lambda: fleet.sent("Hello by roles"), lambda: "a message accepted")
        sandbox.until_delivered("Hello by roles")
