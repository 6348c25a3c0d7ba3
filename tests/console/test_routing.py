"""Where mail goes by the settings, and what must not be believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import Settings
from relay.config.delivery import DeliverySettings, SecuritySettings
from relay.console.routing import authorities, resolver_options
from relay.errors import ConfigError


def settings(*nameservers: str, validating: tuple[str, ...] = (), dane: bool = True) -> Settings:
    security = SecuritySettings(dane=dane, validating=validating)
    return Settings(delivery=DeliverySettings(nameservers=nameservers, security=security))


@pytest.mark.parametrize(
    "fine",
    [
        settings("127.0.0.1:5353", "[::1]:53"),
        settings("192.0.2.53", "127.0.0.1", validating=("192.0.2.53",)),
        settings("192.0.2.53", dane=False),
    ],
)
def test_dane_believes_nameservers_here_and_those_that_are_named(fine: Settings) -> None:
    assert resolver_options(fine).validating is fine.delivery.security.dane


def test_dane_believes_nobody_else() -> None:
    with pytest.raises(ConfigError, match=r"security\.dane: the nameserver 192\.0\.2\.53"):
        resolver_options(settings("127.0.0.1", "192.0.2.53"))


def test_certificates_that_cannot_be_read_are_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        security = SecuritySettings(authorities=str(tmp_path / name))
        with pytest.raises(ConfigError, match=rf"delivery\.security\.authorities: .*{name}"):
            authorities(Settings(delivery=DeliverySettings(security=security)))
