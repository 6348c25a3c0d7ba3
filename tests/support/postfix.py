"""Debian's Postfix as a host: with STARTTLS, and a maildir that it delivers to."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import trustme

_MAIN = """\
compatibility_level = 3.7
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/log
maillog_file_prefixes = /var, {root}
multi_instance_name =
myhostname = mx.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
mynetworks =
smtpd_peername_lookup = no
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_tls_chain_files = {root}/tls.pem
smtpd_tls_security_level = {tls}
smtpd_tls_received_header = yes
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = inline:{{ {{ known@{domain} = box/ }} }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
"""
_MASTER = """\
{address}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Takes mail for known@<domain> at an address and port; use as a context. Needs root."""

    def __init__(self, domain: str, address: str, port: int, *, tls: str = "may") -> None:
        self.domain = domain
        self.address = address
        self.port = port
        self.tls = tls

    def __enter__(self) -> Self:
        if not shutil.which("postfix", path="/usr/sbin") or os.geteuid():
            if os.environ.get("CI"):
                pytest.fail("Postfix is missing, or this is not root (apt-get install postfix)")
            pytest.skip("Postfix is missing, or this is not root (apt-get install postfix)")
        self._directory = tempfile.TemporaryDirectory(prefix="relay-postfix-")
        self.root = Path(self._directory.name)
        try:
            self._prepare()
            self._run("start")
        except BaseException:
            self._directory.cleanup()
            raise
        deadline = time.monotonic() + 20
        while not self._greets():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.log)
        self._run("stop")
        self._directory.cleanup()

    @property
    def log(self) -> str:
        """What Postfix has to say."""
        log = self.root / "log"
        return log.read_text() if log.exists() else ""

    def messages(self) -> list[bytes]:
        """What it delivered."""
        return [path.read_bytes() for path in sorted((self.root / "mail/box/new").glob("*"))]

    def _prepare(self) -> None:
        self.root.chmod(0o755)
        fields = {
            "root": self.root, "domain": self.domain, "address": self.address,
            "port": self.port, "tls": self.tls,
        }  # fmt: skip
        for name, text in (("main.cf", _MAIN), ("master.cf", _MASTER)):
            (self.root / name).write_text(text.format(**fields))
        for name, owner in (("queue", "root"), ("data", "postfix"), ("mail", "nobody")):
            (self.root / name).mkdir()
            user = pwd.getpwnam(owner)
            os.chown(self.root / name, user.pw_uid, user.pw_gid)
        certificate = trustme.CA().issue_cert(f"mx.{self.domain}")
        certificate.private_key_and_cert_chain_pem.write_to_path(self.root / "tls.pem")

    def _run(self, command: str) -> None:
        done = subprocess.run(
            ["/usr/sbin/postfix", "-c", str(self.root), command],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, (done.stdout, done.stderr, self.log)

    def _greets(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), 5) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False
