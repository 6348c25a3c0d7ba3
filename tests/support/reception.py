"""SMTP servers for a test, what they tell, and the simplest message to hand in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from ipaddress import IPv4Network

from relay.ingress.access import Limits
from relay.ingress.door import Door
from relay.ingress.listener import Listen
from relay.ingress.reception import Logins, ReceptionOptions
from relay.ingress.smtp import SmtpServer
from relay.mail.reply import Reply
from relay.mail.transaction import ReceiverOptions
from relay.submission import Submission
from tests.support.submitter import RecordingSubmitter

ENVELOPE = b"MAIL FROM:<a@s.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n"
MESSAGE = ENVELOPE + b"Subject: x\r\n\r\nhi\r\n.\r\n"


async def run(*command: str) -> str:
    """What a program printed; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what must come true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came true"
        await asyncio.sleep(0.005)


class Tally:
    """Counts what reception tells."""

    def __init__(self) -> None:
        self.sessions = 0
        self.away: list[Reply] = []
        self.versions: list[str] = []
        self.messages: list[tuple[str, int]] = []
        self.refusals: list[Reply] = []

    def opened(self) -> None:
        self.sessions += 1

    def closed(self) -> None:
        self.sessions -= 1

    def turned_away(self, reply: Reply, client: str) -> None:
        self.away.append(reply)

    def secured(self, version: str) -> None:
        self.versions.append(version)

    def accepted(self, submission: Submission, size: int, seconds: float) -> None:
        assert seconds >= 0
        self.messages.append((submission.id, size))

    def refused(self, reply: Reply, client: str) -> None:
        self.refusals.append(reply)


class Servers:
    """Starts servers, and stops them at the end of the test."""

    def __init__(self, certificate: ssl.SSLContext) -> None:
        self.submitter = RecordingSubmitter()
        self.tally = Tally()
        self.running: list[SmtpServer] = []
        self._certificate = certificate

    async def start(
        self,
        *,
        receiver: ReceiverOptions | None = None,
        networks: tuple[IPv4Network, ...] = (IPv4Network("127.0.0.0/8"),),
        tls: bool = False,
        listen: Listen | None = None,
        clients: Limits | None = None,
        door: Door | None = None,
        logins: Logins | None = None,
        **options: float | str,
    ) -> int:
        """The port of a server with these options."""
        server = SmtpServer(
            self.submitter,
            ReceptionOptions(
                receiver or ReceiverOptions("relay.example"),
                clients=clients or Limits(),
                **options,  # type: ignore[arg-type]
            ),
            networks=networks,
            tls=self._certificate if tls or (door is not None) else None,
            logins=logins,
            metrics=self.tally,
        )
        self.running.append(server)
        await server.start([listen or Listen("127.0.0.1", 0, door=door)])
        return server.addresses[0][1]
