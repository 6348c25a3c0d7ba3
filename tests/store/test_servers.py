"""Which servers a URL names, for Relay's own clients and for Celery."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from relay.config.servers import BrokerSettings, StoreSettings
from relay.config.values import mask
from relay.errors import ConfigError
from relay.store.address import Address
from relay.store.servers import Cluster, Sentinels, servers_of
from workers.settings import broker_settings

WHOLE = (
    "redis+sentinel://ann:p%40ss@h1:26380,h2,[::1]:7/the-store/3"
    "?sentinel_username=eve&sentinel_password=s%2Fp"
)


def test_a_url_of_sentinels_names_them_their_login_and_the_primarys() -> None:
    found = servers_of(WHOLE)
    assert isinstance(found, Sentinels)
    assert [(one.host, one.port) for one in found.sentinels] == [
        ("h1", 26380),
        ("h2", 26379),
        ("::1", 7),
    ]
    assert {(one.username, one.password) for one in found.sentinels} == {("eve", "s/p")}
    assert (found.name, found.primary.db) == ("the-store", 3)
    assert (found.primary.username, found.primary.password) == ("ann", "p@ss")
    assert "p@ss" not in repr(found)
    assert "s/p" not in repr(found)


def test_what_is_left_out_is_what_redis_has_by_itself() -> None:
    found = servers_of("redis+sentinel://h1")
    assert isinstance(found, Sentinels)
    assert (found.name, found.primary.db, found.sentinels[0].port) == ("mymaster", 0, 26379)


def test_tls_holds_for_sentinels_and_primary() -> None:
    found = servers_of("rediss+sentinel://h1,h2/m?ssl_cert_reqs=none")
    assert isinstance(found, Sentinels)
    assert all(one.tls and one.tls_verify == "none" for one in (*found.sentinels, found.primary))


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    found = servers_of("redis+cluster://:hidden@h1,h2:7000")
    assert isinstance(found, Cluster)
    assert [(one.host, one.port, one.password) for one in found.seeds] == [
        ("h1", 6379, "hidden"),
        ("h2", 7000, "hidden"),
    ]
    assert "hidden" not in repr(found)
    with pytest.raises(ConfigError, match="no databases"):
        servers_of("redis+cluster://h1/3")


def test_a_broker_is_no_cluster() -> None:
    with pytest.raises(ValidationError):
        BrokerSettings(url="redis+cluster://h1,h2")


def test_one_server_is_an_address() -> None:
    assert servers_of("redis://h:7/1") == Address(host="h", port=7, db=1)


@pytest.mark.parametrize("url", ["redis://[::1:7/1", "redis+cluster://h1,[::1", "redis://::1]:7"])
def test_a_bracket_that_is_missing_is_told(url: str) -> None:
    with pytest.raises(ValidationError, match="bracket"):
        StoreSettings(url=url)


def test_blanks_around_a_url_are_not_part_of_it() -> None:
    assert servers_of(" redis://h:7/1\n") == Address(host="h", port=7, db=1)


@pytest.mark.parametrize("url", ["redis+sentinel://h1,,h2/m", "redis+sentinel://h1:x/m"])
def test_a_damaged_url_is_refused_as_a_setting(url: str) -> None:
    with pytest.raises(ConfigError):
        servers_of(url)
    with pytest.raises(ValidationError):
        StoreSettings(url=url)


def test_no_password_of_a_url_is_shown() -> None:
    shown = mask(WHOLE)
    assert "p%40ss" not in shown
    assert "s%2Fp" not in shown
    assert "h1:26380,h2,[::1]:7" in shown


def test_celery_is_told_the_same_of_a_broker() -> None:
    found = broker_settings(WHOLE)
    assert found["broker_url"] == (
        "sentinel://ann:p%40ss@h1:26380/3;sentinel://ann:p%40ss@h2:26379/3"
        ";sentinel://ann:p%40ss@[::1]:7/3"
    )
    told = found["broker_transport_options"]
    assert told["master_name"] == "the-store"
    assert (told["sentinel_kwargs"]["username"], told["sentinel_kwargs"]["password"]) == (
        "eve",
        "s/p",
    )
    assert "broker_use_ssl" not in found


def test_celery_verifies_what_relay_verifies() -> None:
    found = broker_settings("rediss+sentinel://h1/m?ssl_ca_certs=/ca.pem")
    wanted = {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem"}
    assert found["broker_use_ssl"] == wanted
    asking = found["broker_transport_options"]["sentinel_kwargs"]
    assert asking.items() >= {"ssl": True, **wanted}.items()
