"""When the certificates of listeners expire, for `relay doctor`."""

from __future__ import annotations

import time
from pathlib import Path

from relay.config import Settings
from relay.console.doctor.check import Check, error, ok, warning
from relay.ingress.certificate import expires

#: Days before a certificate expires from which on it is told.
_SOON = 14


def certificates(settings: Settings) -> list[Check]:
    """Those that listeners show."""
    files = {"smtp.tls": settings.smtp.tls.certificate, "http.tls": settings.http.tls.certificate}
    found = [_certificate(key, path) for key, path in files.items() if path]
    return found or [ok("certificate", "listeners have none, so they offer no TLS (smtp.tls)")]


def _certificate(key: str, path: str) -> Check:
    try:
        left = (expires(Path(path).read_text("ascii")) - time.time()) / 86400
    except (OSError, ValueError) as problem:
        return error("certificate", f"{path}: {problem}", f"set {key}.certificate to a PEM file")
    if left < 0:
        text = f"{path} expired {-left:.0f} days ago"
        return error("certificate", text, "renew it: clients refuse to talk")
    if left < _SOON:
        text = f"{path} expires in {left:.0f} days"
        return warning("certificate", text, "renew it; it is read again by itself")
    return ok("certificate", f"{path} is good for {left:.0f} days")
