"""The doors of reception, made of the settings."""

from __future__ import annotations

import pytest

from relay.cli.roles.doors import listeners
from relay.config import Settings
from relay.config.delivery import DeliverySettings, SecuritySettings
from relay.config.operation import SandboxSettings
from relay.config.reception import SmtpSettings, SubmissionSettings, TlsSettings
from relay.errors import ConfigError
from relay.ingress.access import LOOPBACK
from relay.mail.extensions import Extension

TLS = TlsSettings(certificate="chain.pem", key="key.pem")


def test_by_default_loopback_relays_and_nobody_logs_in() -> None:
    [only] = listeners(Settings())
    assert only.door is not None
    assert (only.host, only.port, only.shared) == ("127.0.0.1", 2525, True)
    assert only.door.networks == LOOPBACK
    receiver = only.door.receiver
    assert (receiver.auth, receiver.fixes, only.door.implicit_tls) == (False, False, False)
    assert (only.door.proxies, only.door.xclients, only.door.clear_logins) == ((), (), ())
    assert Extension.FUTURERELEASE not in only.door.receiver.extensions


def test_submission_asks_for_a_login_and_fixes_what_it_may() -> None:
    settings = Settings(
        smtp=SmtpSettings(tls=TLS),
        submission=SubmissionSettings(listen=("0.0.0.0:587",), implicit_tls=("[::]:465",)),
    )
    _, starttls, implicit = listeners(settings)
    assert starttls.door is not None
    assert implicit.door is not None
    assert [one.door.implicit_tls for one in (starttls, implicit) if one.door] == [False, True]
    assert starttls.door.networks == ()
    assert starttls.door.receiver.auth
    assert starttls.door.receiver.fixes
    assert Extension.FUTURERELEASE in starttls.door.receiver.extensions


def test_where_nobody_could_log_in_the_settings_are_refused_all_at_once() -> None:
    settings = Settings(
        smtp=SmtpSettings(auth=True),
        submission=SubmissionSettings(listen=("[::1]:587",), implicit_tls=("[::1]:465",)),
    )
    with pytest.raises(ConfigError) as told:
        listeners(settings)
    named = [problem.partition(":")[0] for problem in told.value.problems]
    assert named == ["submission.implicit_tls", "submission.listen", "smtp.auth"]


def test_a_login_in_the_clear_needs_no_certificate() -> None:
    open_to = ("127.0.0.0/8",)
    settings = Settings(submission=SubmissionSettings(listen=("[::1]:587",), clear_logins=open_to))
    assert len(listeners(settings)) == 2


def test_without_chunking_there_is_no_binarymime() -> None:
    [only] = listeners(Settings(smtp=SmtpSettings(announce=("BINARYMIME", "dsn"))))
    assert only.door is not None
    assert only.door.receiver.extensions == {Extension.DSN}


@pytest.mark.parametrize(
    ("security", "offered"),
    [
        (SecuritySettings(), True),
        (SecuritySettings(mta_sts=False), False),
        (SecuritySettings(mta_sts=False, dane=True), True),
        (SecuritySettings(mta_sts=False, policies={"a.example": "verified"}), False),
        (SecuritySettings(mta_sts=False, policies={"a.example": "secure"}), True),
    ],
)
def test_requiretls_is_offered_where_something_says_whose_hosts_are(
    security: SecuritySettings, offered: bool
) -> None:
    [only] = listeners(Settings(delivery=DeliverySettings(security=security)))
    assert only.door is not None
    assert (Extension.REQUIRETLS in only.door.receiver.extensions) is offered


def test_the_sandbox_offers_no_requiretls() -> None:
    [only] = listeners(Settings(sandbox=SandboxSettings(enabled=True)))
    assert only.door is not None
    assert Extension.REQUIRETLS not in only.door.receiver.extensions
