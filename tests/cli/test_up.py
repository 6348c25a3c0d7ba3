"""`relay up` as a whole: what it starts, refuses, restarts and leaves behind."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.support.relay import relay
from tests.support.up import READY, Up, eventually


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One that runs while the tests look at it."""
    with Up(tmp_path_factory.mktemp("up") / "data") as up:
        yield up


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != "zombie" for process in processes)


def test_it_runs_two_servers_and_every_role(shared: Up) -> None:
    assert set(shared.children()) == {
        "store",
        "broker",
        "sink",
        "exporter",
        "worker",
        "smtp",
        "http",
    }
    for text in (f"SMTP to 127.0.0.1:{shared.smtp}", "queue", "/metrics", "Ctrl-C", "/sink/*.eml"):
        assert text in shared.output()


def test_all_samples_are_delivered(shared: Up) -> None:
    delivered = [line for line in shared.output().splitlines() if " delivered after " in line]
    assert len(delivered) == 9, shared.output()
    assert len(list((shared.data / "sink").glob("*.eml"))) == 8


def test_the_store_answers_only_when_a_write_is_on_disk(shared: Up) -> None:
    argv = shared.children()["store"].cmdline()
    options = dict(zip(argv[1::2], argv[2::2], strict=True))
    expected = {
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--no-appendfsync-on-rewrite": "no",
        "--save": "",
        "--maxmemory-policy": "noeviction",
        "--hash-max-listpack-value": "1024",
        "--hash-max-listpack-entries": "128",
        "--port": "0",
        "--unixsocketperm": "700",
    }
    assert {key: options[key] for key in expected} == expected
    assert int(options["--maxmemory"]) <= psutil.virtual_memory().total / 2


def test_nobody_else_can_use_the_data_directory(shared: Up) -> None:
    assert oct(shared.data.stat().st_mode)[-3:] == "700"


def test_other_commands_find_it_by_its_data_directory(shared: Up) -> None:
    done = relay("config", "show", RELAY_DATA=str(shared.data))
    assert f'listen = ["127.0.0.1:{shared.smtp}"]' in done.stdout
    sent = relay(
        *("send", "--from", "a@a.example", "--to", "b@b.example", "--text", "hello"),
        RELAY_DATA=str(shared.data),
    )
    assert sent.stdout.startswith("250 2.0.0 Ok: queued as ")
    message = sent.stdout.split("queued as ")[1].split()[0]

    def delivered() -> bool:
        done = relay("show", message, "--json", RELAY_DATA=str(shared.data))
        [recipient] = json.loads(done.stdout)["recipients"]
        return bool(recipient["state"] == "delivered")

    eventually(delivered, lambda: message)


def test_a_second_one_on_the_same_data_directory_is_refused(shared: Up) -> None:
    assert shared.process is not None
    second = Up(shared.data)
    second._log = shared.data.with_name("second.out")
    second.start()
    assert second.wait() == 2
    assert second.output() == (
        f"relay: data: {shared.data} is in use by another relay up (process "
        f"{shared.process.pid}): stop that one, or name another directory by --data or "
        "RELAY_DATA\n"
    )


def test_a_sandbox_is_never_taken_for_real_delivery(data: Path) -> None:
    data.mkdir()
    (data / "mode").write_text("sandbox\n")
    done = relay("up", "--data", str(data))
    assert done.returncode == 2
    assert "were accepted with --sandbox: start it so again" in done.stderr


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("smtp.listen", "RELAY_SMTP__LISTEN"),
        ("http.listen", "RELAY_HTTP__LISTEN"),
        ("exporter.listen", "RELAY_EXPORTER__LISTEN"),
        ("metrics.listen", "RELAY_METRICS__LISTEN"),
        ("sandbox.listen", "RELAY_SANDBOX__LISTEN"),
    ],
)
def test_a_taken_port_is_told_with_the_settings_name(data: Path, key: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        up = Up(data, **{variable: place})
        up.start()
        assert up.wait() == 2
    problem = f"{place} is taken by another process; choose another by {key} or {variable}"
    assert f"relay: {key}: {problem}" in up.output().splitlines()
    assert not list((data / "store").iterdir()), "nothing was started"


def test_a_store_of_ones_own_is_refused(data: Path) -> None:
    up = Up(data, RELAY_STORE__URL="redis://127.0.0.1:6379/0")
    up.start()
    assert up.wait() == 2
    assert up.output().startswith("relay: store.url: relay up runs a store of its own")


def test_stopping_leaves_nothing_and_the_next_start_goes_on(data: Path) -> None:
    up = Up(data, "--exit-after-samples")
    up.start()
    assert up.wait() == 0, up.output()
    assert not (data / "relay.env").exists()
    stopped = [line.split()[1] for line in up.output().splitlines() if " stopped " in line]
    assert set(stopped[:2]) == {"smtp", "http"}
    assert stopped[-2:] == ["broker", "store"]
    kept = sorted((data / "sink").iterdir())
    with Up(data) as again:
        assert sorted((data / "sink").iterdir())[: len(kept)] == kept
        found = relay("queue", "--json", RELAY_DATA=str(data))
        assert (found.returncode, '"domains": 0' in found.stdout) == (0, True), found
        children = list(again.children().values())
        assert again.end() == 0
    assert gone(children)


def test_no_child_outlives_it_even_when_it_is_killed(data: Path) -> None:
    up = Up(data)
    up.start()
    try:
        up.wait_for("smtp      ready")
        children = list(up.children().values())
        assert len(children) >= 6
        up.signal(signal.SIGKILL)
        up.wait()
        eventually(lambda: gone(children), lambda: str(children))
    finally:
        up.end()
    up.start()
    try:
        up.wait_for(READY)
    finally:
        assert up.end() == 0


@pytest.mark.parametrize("name", ["store", "broker", "smtp", "exporter", "sink", "worker", "http"])
def test_what_dies_is_started_again(shared: Up, name: str) -> None:
    label = "worker-1" if name == "worker" else name
    ready = f"{label:<10}ready"
    before = shared.output().count(ready)
    child = shared.children()[name]
    child.send_signal(signal.SIGKILL)
    shared.wait_for(f"{label:<10}ended  by SIGKILL")
    shared.wait_for(ready, before + 1)
    assert shared.children()[name].pid != child.pid


def test_messages_are_accepted_again_after_the_store_was_killed(shared: Up) -> None:
    ready = shared.output().count("store     ready")
    shared.children()["store"].send_signal(signal.SIGKILL)
    shared.wait_for("store     ready", ready + 1)

    def accepted() -> bool:
        with smtplib.SMTP("127.0.0.1", shared.smtp) as client:
            client.helo()
            client.mail("a@a.example")
            client.rcpt("b@b.example")
            code, _ = client.data(b"Subject: x\r\n\r\nx\r\n")
        assert code in (250, 451)
        return code == 250

    eventually(accepted, lambda: "a message accepted after the store came back")


def test_a_deep_data_directory_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 60) / ("e" * 60)
    data.parent.mkdir()
    with Up(data) as up:
        sockets = (up.data / "relay.env").read_text()
        assert "unix:///" in sockets
        assert str(data) not in sockets.split("RELAY_STORE__URL=")[1].split("\n")[0]
        place = sockets.split("RELAY_STORE__URL=unix://")[1].split("\n")[0]
        assert oct(os.stat(Path(place).parent).st_mode)[-3:] == "700"
    assert not Path(place).parent.exists()
