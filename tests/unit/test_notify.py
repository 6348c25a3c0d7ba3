import pytest

from relay.mail.envelope import Recipient
from relay.policy.notify import notify_of, wanted


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        pytest.param("", {"bounced", "expired", "suppressed"}, id="failures by default"),
        pytest.param("NEVER", set(), id="never"),
        pytest.param("FAILURE", {"bounced", "expired", "suppressed"}, id="failure"),
        pytest.param("SUCCESS", {"delivered"}, id="success alone"),
        pytest.param("success,Delay", {"delivered", "deferred"}, id="any case"),
        pytest.param(
            "SUCCESS,FAILURE,DELAY",
            {"bounced", "expired", "suppressed", "delivered", "deferred"},
            id="all",
        ),
    ],
)
def test_the_sender_is_told_what_notify_asks_for(notify: str, told: set[str]) -> None:
    fates = ("bounced", "expired", "suppressed", "delivered", "deferred", "cancelled", "held")
    assert {fate for fate in fates if wanted("a@s.example", notify, fate)} == told


def test_a_success_is_reported_by_the_host_that_was_asked_to() -> None:
    assert wanted("a@s.example", "SUCCESS,FAILURE", "delivered")
    assert not wanted("a@s.example", "SUCCESS,FAILURE", "delivered", passed_on=True)
    assert wanted("a@s.example", "SUCCESS,FAILURE", "bounced", passed_on=True)


def test_what_was_asked_is_told_for_all_recipients_or_for_none() -> None:
    plain = Recipient("a@s.example")
    asking = Recipient("b@s.example", "NEVER", "rfc822;b")
    assert notify_of((plain, plain)) == ()
    assert notify_of((plain, asking)) == (("", ""), ("NEVER", "rfc822;b"))


@pytest.mark.parametrize("notify", ["", "FAILURE", "SUCCESS,FAILURE,DELAY"])
@pytest.mark.parametrize("fate", ["bounced", "expired", "delivered", "deferred"])
def test_nobody_is_told_of_a_message_from_the_null_sender(notify: str, fate: str) -> None:
    assert not wanted("", notify, fate)
