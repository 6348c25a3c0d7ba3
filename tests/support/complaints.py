"""Feedback reports as mailbox providers send them (RFC 5965 appendix B)."""

from __future__ import annotations

ID = "1m84nytvp001vn6nw4r2"


def report(
    message: str = ID,
    *,
    kind: str = "abuse",
    recipient: str = "u@a.example",
    original: str = "message/rfc822",
    by: str = "relay.test (Relay)",
    more: str = "",
) -> bytes:
    """A complaint of a recipient about a message that Relay passed on; `more` are older fields."""
    said = f"Feedback-Type: {kind}\n" if kind else ""
    text = f"""\
From: <abusedesk@provider.example>
Date: Thu, 8 Mar 2026 17:40:36 +0000
Subject: FW: hello
To: <abuse@origin.test>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part1"

--part1
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report.

--part1
Content-Type: message/feedback-report

{said}User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <sender@origin.test>
Original-Rcpt-To: <{recipient}>
Source-IP: 192.0.2.1

--part1
Content-Type: {original}
Content-Disposition: inline

Received: from relay.test ([192.0.2.1]) by mx.provider.example with ESMTP id XYZ;
\tThu, 8 Mar 2026 14:00:00 +0000
Received: from app ([192.0.2.7])
\tby {by} with ESMTPSA id {message};
\tThu, 8 Mar 2026 14:00:00 +0000
{more}From: <sender@origin.test>
Subject: hello

hi
--part1--
"""
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
