"""Postfix from Debian, tuned: a configuration and a queue of its own, the queue on the real disk.

Tuned means: no delay at reception, up to 50 sessions to a destination and 100 processes of a kind,
a large active queue, no TLS, no look-ups but those that are needed. It syncs each queue file before
its 250, as it always does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tests.bench.systems.base import System

_MAIN = """\
compatibility_level = 3.6
queue_directory = {place}/spool
data_directory = {place}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {place}/maillog
maillog_file_prefixes = {place}
myhostname = postfix.bench.test
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_limit = 5000
disable_vrfy_command = yes
smtp_tls_security_level = none
smtpd_tls_security_level = none
in_flow_delay = 0
default_process_limit = 100
smtp_destination_concurrency_limit = 50
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 100000
message_size_limit = 104857600
"""

#: service, type, private, chroot, wakeup, process limit, command: master(5) without the rest.
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
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
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_QUEUES = ("incoming", "active", "deferred", "defer", "maildrop", "hold")


class Postfix(System):
    """Tuned Postfix."""

    name = "postfix"
    needs_root = True

    @classmethod
    def missing(cls) -> str:
        """Debian's package."""
        return "" if shutil.which("postfix") else "the package postfix"

    @property
    def version(self) -> str:
        """As postconf tells it."""
        return self._postconf("mail_version")

    @property
    def durability(self) -> str:
        """Its cleanup daemon syncs before it answers (global/mail_stream.c)."""
        return "fsync of each message's queue file"

    def prepare(self) -> None:
        """Directories with the owners that it insists on."""
        for name in ("etc", "spool", "data"):
            (self.place / name).mkdir()
        shutil.chown(self.place / "data", "postfix", "postfix")
        for parent in (self.place, *self.place.parents):
            if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o005 != 0o005:
                parent.chmod(parent.stat().st_mode | 0o055)
        values = {"place": self.place, "port": self.sandbox.submission[1]}
        (self.place / "etc" / "main.cf").write_text(
            _MAIN.format(**values) + self.case.postfix_settings, encoding="utf-8"
        )
        (self.place / "etc" / "master.cf").write_text(_MASTER.format(**values), encoding="utf-8")

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """In the foreground, so that its processes are ours."""
        return ("postfix", "-c", str(self.place / "etc"), "start-fg"), os.environ

    def process_name(self, command: str) -> str:
        """The daemon's name."""
        return command.partition(" ")[0].rpartition("/")[2]

    def deferred(self) -> int:
        """As its log has them."""
        return (self.place / "maillog").read_bytes().count(b" status=deferred ")

    def stored(self) -> int:
        """Octets that its queue files take on the disk."""
        total = 0
        for queue in _QUEUES:
            for directory, _, names in os.walk(self.place / "spool" / queue):
                for name in names:
                    total += os.lstat(os.path.join(directory, name)).st_blocks * 512
        return total

    def destination_is_back(self) -> None:
        """Flush the queue."""
        argv = ["postqueue", "-c", str(self.place / "etc"), "-f"]
        subprocess.run(argv, check=True, preexec_fn=self.group.join)

    def _postconf(self, name: str) -> str:
        argv = ["postconf", "-c", str(self.place / "etc"), "-h", name]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
