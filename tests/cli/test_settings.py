"""Where settings come from, what holds over what, and how what is wrong with them is told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import Settings, load_settings
from relay.config.document import file, page, plain
from relay.config.values import duration, mask, show_duration, show_size, size
from relay.errors import ConfigError

ROOT = Path(__file__).parents[2]
BAD = sorted((Path(__file__).parent / "bad_configs").iterdir())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("folder", BAD, ids=[folder.name for folder in BAD])
def test_every_problem_is_told_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError) as caught:
        load_settings(env={})
    assert list(caught.value.problems) == (folder / "problems.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("env", "problems"),
    [
        pytest.param(
            {"RELAY_SMTP_LISTEN": "127.0.0.1:1"},
            ["RELAY_SMTP_LISTEN: is not a setting's name; write RELAY_SMTP__LISTEN"],
            id="one underscore where two belong",
        ),
        pytest.param(
            {"RELAY_DELIVERY__PORT": "x"},
            ['delivery.port: must be a whole number, not "x" (from RELAY_DELIVERY__PORT)'],
            id="the variable is named",
        ),
        pytest.param(
            {"RELAY_RETRY__FRIST": "1m"},
            ["retry.frist: unknown setting; did you mean retry.first? (from RELAY_RETRY__FRIST)"],
            id="unknown variable",
        ),
        pytest.param(
            {"RELAY_DELIVERY__ROUTES": "example.com"},
            [
                'delivery.routes: is no table: write "example.com=10.0.0.1:25,*=smart.example:25"'
                ', not "example.com" (from RELAY_DELIVERY__ROUTES)'
            ],
            id="no table",
        ),
        pytest.param(
            {"RELAY_CONFIG": "nowhere.toml"},
            ["nowhere.toml: cannot be read: [Errno 2] No such file or directory: 'nowhere.toml'"],
            id="the named file is missing",
        ),
    ],
)
def test_a_problem_in_the_environment_names_the_variable(
    env: dict[str, str], problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(env=env)
    assert list(caught.value.problems) == problems


def test_the_environment_holds_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text('[smtp]\nhostname = "file.example"\nlisten = ["[::1]:25"]')
    settings = load_settings(env={"RELAY_SMTP__HOSTNAME": "env.example", "RELAY_STORE__URL": ""})
    assert settings.smtp.hostname == "env.example"
    assert settings.smtp.listen == ("[::1]:25",)
    assert settings.store.url == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("text", "routes"),
    [
        ("*=10.0.0.1:25", {"*": "10.0.0.1:25"}),
        ('{"a.example": "h:1", "*": "[::1]:2"}', {"a.example": "h:1", "*": "[::1]:2"}),
    ],
)
def test_a_table_in_the_environment_is_pairs_or_json(text: str, routes: dict[str, str]) -> None:
    assert load_settings(env={"RELAY_DELIVERY__ROUTES": text}).delivery.routes == routes


@pytest.mark.parametrize("text", ["10.0.0.0/8, ::1", '["10.0.0.0/8", "::1/128"]'])
def test_a_list_in_the_environment_is_items_or_json(text: str) -> None:
    networks = load_settings(env={"RELAY_SMTP__NETWORKS": text}).smtp.networks
    assert networks == ("10.0.0.0/8", "::1/128")


def test_variables_that_a_container_platform_makes_are_no_settings() -> None:
    env = {"RELAY_SMTP_SERVICE_HOST": "10.1.2.3", "RELAY_SMTP_PORT": "tcp://10.1.2.3:2525"}
    assert plain(load_settings(env=env)) == plain(Settings())


@pytest.mark.parametrize("data", ["relay-data", "data", "elsewhere"])
def test_a_running_instance_is_found_by_its_data_directory(tmp_path: Path, data: str) -> None:
    (tmp_path / data).mkdir()
    running = "# while it runs\nRELAY_STORE__URL=unix:///run/store.sock\nRELAY_RETRY__FIRST=2m\n"
    (tmp_path / data / "relay.env").write_text(running)
    env = {"RELAY_DATA": data} if data == "elsewhere" else {}
    found = load_settings(env=env)
    assert (found.store.url, found.retry.first) == ("unix:///run/store.sock", 120)
    named = load_settings(env=env | {"RELAY_STORE__URL": "redis://store.example"})
    assert (named.store.url, named.retry.first) == ("redis://store.example", 60)


def test_in_the_sandbox_every_domain_leads_to_the_catch_all() -> None:
    env = {"RELAY_SANDBOX__ENABLED": "true", "RELAY_DELIVERY__ROUTES": "a.example=192.0.2.1:25"}
    settings = load_settings(env=env)
    assert settings.routes == {"*": "127.0.0.1:2526"}
    assert settings.private_targets == ("127.0.0.0/8", "::1/128")


def test_the_reference_is_made_from_the_models() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == page()


def test_the_example_file_is_made_from_the_models() -> None:
    assert (ROOT / "deploy/relay.toml").read_text() == file()


def test_the_example_file_with_its_comments_taken_off_is_all_the_defaults(tmp_path: Path) -> None:
    lines = [line[1:] if line[:1] == "#" != line[1:2] else line for line in file().splitlines()]
    text = "\n".join(line for line in lines if not line.startswith(" "))
    assert tomllib.loads(text).keys() == Settings.model_fields.keys()
    assert tomllib.loads(text)["smtp"]["limits"]["errors"] == 20
    (tmp_path / "relay.toml").write_text(text)
    assert plain(load_settings(env={})) == plain(Settings())


def test_a_password_is_never_shown() -> None:
    url = "rediss://me:s3cret@store.example:6380/2?password=s3cret&ssl_cert_reqs=none"
    assert mask(url) == "rediss://me:***@store.example:6380/2?password=***&ssl_cert_reqs=none"
    assert "s3cret" not in str(plain(load_settings(env={"RELAY_BROKER__URL": url})))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1h30m", 5400), ("250ms", 0.25), ("5 d", 432000), ("90", 90), ("1.5m", 90)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@given(st.integers(0, 10**9))
def test_a_duration_or_size_that_is_shown_reads_as_the_same(number: int) -> None:
    assert duration(show_duration(number)) == number
    assert size(show_size(number)) == number
