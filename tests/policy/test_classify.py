from __future__ import annotations

import pytest

from relay.mail.outcome import Bounced, Deferred, Delivered, Outcome, Scope
from relay.mail.reply import Reply, reply_of
from relay.policy.classify import classify

R, M, H, S = Scope.RECIPIENT, Scope.MESSAGE, Scope.HOST, Scope.SITE


@pytest.mark.parametrize(
    ("code", "text", "scope", "kind", "said_of"),
    [
        pytest.param(250, "2.0.0 ok", M, Delivered, None, id="taken"),
        pytest.param(251, "2.1.5 forwarded", R, Delivered, None, id="forwarded"),
        pytest.param(250, "hello", H, Deferred, H, id="a greeting that is none"),
        pytest.param(220, "hello", S, Deferred, S, id="2yz says nothing of a site"),
        pytest.param(354, "go", M, Deferred, M, id="3yz where none belongs"),
        pytest.param(450, "4.2.1 busy", R, Deferred, R, id="mailbox busy"),
        pytest.param(451, "4.7.1 greylisted", R, Deferred, R, id="greylisted"),
        pytest.param(452, "4.5.3 too many", R, Deferred, R, id="too many recipients"),
        pytest.param(452, "4.3.1 full", M, Deferred, M, id="no space"),
        pytest.param(552, "5.5.3 too many", R, Deferred, R, id="too many recipients, said so"),
        pytest.param(552, "5.3.4 too big", M, Bounced, M, id="too big"),
        pytest.param(550, "5.1.1 who?", R, Bounced, R, id="no such mailbox"),
        pytest.param(550, "5.7.1 no", M, Bounced, M, id="sender refused"),
        pytest.param(554, "5.7.1 spam", M, Bounced, M, id="content refused"),
        pytest.param(556, "5.1.10 null MX", R, Bounced, R, id="null MX"),
        pytest.param(553, "5.6.7 no UTF-8", M, Bounced, M, id="UTF-8 not offered"),
        pytest.param(503, "5.5.1 sequence", M, Deferred, M, id="bad sequence at DATA"),
        pytest.param(503, "5.5.1 sequence", R, Deferred, R, id="bad sequence at RCPT"),
        pytest.param(421, "4.3.2 bye", R, Deferred, H, id="421 at RCPT"),
        pytest.param(421, "4.3.2 bye", M, Deferred, H, id="421 at the dot"),
        pytest.param(421, "4.3.2 bye", H, Deferred, H, id="421 greeting"),
        pytest.param(421, "4.4.1 nobody", S, Deferred, S, id="no host of the site answers"),
        pytest.param(554, "5.7.1 no", H, Deferred, H, id="554 greeting"),
        pytest.param(521, "5.3.2 no mail", H, Deferred, H, id="521 greeting"),
        pytest.param(550, "5.7.1 no", S, Deferred, S, id="all hosts refuse us"),
        pytest.param(451, "4.4.3 SERVFAIL", S, Deferred, S, id="lookup failed"),
        pytest.param(-1, "nonsense", M, Deferred, M, id="no reply code at all"),
        pytest.param(199, "odd", M, Deferred, M, id="1yz"),
        pytest.param(600, "odd", R, Deferred, R, id="6yz"),
        pytest.param(450, "5.1.1 who?", R, Deferred, R, id="4yz with an enhanced 5"),
        pytest.param(550, "4.2.2 full", R, Bounced, R, id="5yz with an enhanced 4"),
    ],
)
def test_what_a_reply_does(
    code: int, text: str, scope: Scope, kind: type[Outcome], said_of: Scope | None
) -> None:
    reply = reply_of(code, text)
    outcome = classify(reply, scope)
    assert isinstance(outcome, kind)
    assert outcome.reply is reply
    assert getattr(outcome, "scope", None) is said_of


@pytest.mark.parametrize("scope", [H, S])
def test_what_is_said_of_a_host_or_a_site_is_never_final(scope: Scope) -> None:
    for code in (-1, *range(1_000)):
        assert isinstance(classify(Reply(code), scope), Deferred)


@pytest.mark.parametrize("scope", [R, M])
def test_only_5yz_bounces_and_only_2yz_delivers(scope: Scope) -> None:
    for code in (-1, *range(1_000)):
        outcome = classify(Reply(code), scope)
        assert isinstance(outcome, Delivered) == (200 <= code < 300)
        assert not isinstance(outcome, Bounced) or 500 <= code < 600
