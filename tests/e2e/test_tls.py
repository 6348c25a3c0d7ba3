"""Verified TLS with real processes: as the settings say, and as operators see it."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from pathlib import Path
from typing import Any

from tests.support.authority import Authority
from tests.support.mx import EXTENSIONS, Mx
from tests.support.source import post, submit
from tests.support.system import System


async def test_what_the_settings_want_is_had_or_the_mail_waits(tmp_path: Path) -> None:
    """A domain of level secure at a host with the right certificate, another at one without."""
    authority = Authority(tmp_path)
    issued = authority.issue("relay.test")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    tls = authority.server("mx.good.test")
    async with (
        Mx(tls=tls, extensions=(*EXTENSIONS, "REQUIRETLS"), host="127.0.3.1") as good,
        Mx(tls=tls, host="127.0.3.2", port=good.port) as bad,
    ):
        variables = {
            "RELAY_DELIVERY__PORT": str(good.port),
            "RELAY_DELIVERY__SECURITY__AUTHORITIES": authority.file,
            "RELAY_DELIVERY__SECURITY__MTA_STS": "false",
            "RELAY_DELIVERY__SECURITY__POLICIES": "good.test=secure,bad.test=secure",
            "RELAY_SMTP__TLS__CERTIFICATE": str(tmp_path / "chain.pem"),
            "RELAY_SMTP__TLS__KEY": str(tmp_path / "key.pem"),
        }
        await asyncio.to_thread(_run, variables, good, bad, authority)


def _run(variables: dict[str, str], good: Mx, bad: Mx, authority: Authority) -> None:
    with System(None, variables) as system:
        system.place("127.0.3.1", "good.test")
        system.place("127.0.3.2", "bad.test")
        accepted = submit(system.port, post("one", "r@good.test"), post("two", "r@bad.test"))
        system.until(lambda: good.taken)
        system.until(lambda: "4.7.5" in system.parked("bad.test"))
        assert not bad.taken
        [shown] = _attempts(system, accepted["one"])
        assert (shown["tls"], shown["verified"]) == ("TLSv1.3", "settings")
        told = system.relay("explain", "r@bad.test")["deliveries"][0]
        assert told["destination"]["tls"] == ["mx.bad.test: verified for bad.test or .bad.test"]
        assert "4.7.5" in told["findings"][0]["text"]
        # Over TLS a client may ask for more, and its message comes to who promises the same.
        _ask_for_tls(system.port, authority)
        system.until(lambda: len(good.taken) == 2)
        assert any(" REQUIRETLS" in one for one in good.commands if one.startswith("MAIL"))
        log = system.workers[0].records("delivered")
        assert {one.get("verified") for one in log} == {"settings"}
        assert {one["domain"] for one in log} == {"good.test"}


def _attempts(system: System, message: str) -> list[Any]:
    def look() -> list[Any]:
        attempts: list[Any] = system.relay("show", message)["recipients"][0]["attempts"]
        return attempts

    system.until(look)
    return look()


def _ask_for_tls(port: int, authority: Authority) -> None:
    trusting = ssl.create_default_context(cafile=authority.file)
    trusting.check_hostname = False
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.ehlo()
        assert not client.has_extn("requiretls")
        client.starttls(context=trusting)
        client.ehlo()
        assert client.has_extn("requiretls")
        content = b"Subject: x\r\n\r\nhi\r\n"
        client.sendmail("s@good.test", ["r@good.test"], content, mail_options=["REQUIRETLS"])
