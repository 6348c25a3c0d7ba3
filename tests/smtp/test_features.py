from __future__ import annotations

import pytest

from relay.smtp.features import Features, features_of


@pytest.mark.parametrize(
    ("extensions", "features"),
    [
        ({}, Features(esmtp=True)),
        ({"pipelining": "", "8bitmime": ""}, Features(True, pipelining=True, eight_bit_mime=True)),
        ({"size": ""}, Features(True, size=True)),
        ({"size": "0"}, Features(True, size=True)),
        ({"size": " 52428800 "}, Features(True, size=True, size_limit=52_428_800)),
        ({"size": "-1"}, Features(True, size=True)),
        ({"size": "9" * 21}, Features(True, size=True)),
        ({"size": "lots"}, Features(True, size=True)),
        ({"smtputf8": "", "dsn": "", "chunking": ""},
         Features(True, smtputf8=True, dsn=True, chunking=True)),
        ({"limits": "RCPTMAX=20 MAILMAX=5"}, Features(True, mail_max=5, recipients_max=20)),
        ({"limits": "MAILMAX=many XRCPTMAX=3"}, Features(True)),
        ({"starttls": "", "requiretls": ""}, Features(True, starttls=True, requiretls=True)),
        ({f"x{n}": "y" * 1_000 for n in range(100)}, Features(True)),
    ],
)  # fmt: skip
def test_what_a_host_announced(extensions: dict[str, str], features: Features) -> None:
    assert features_of(extensions) == features
