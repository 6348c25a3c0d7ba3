"""A Docker engine of the test's own, in a network namespace that holds nothing but its bridge."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.compose.parts import run

_START = 30.0


def files_limit() -> int:
    """How many files a container may have open on this machine."""
    return min(65536, _hard(resource.RLIMIT_NOFILE))


def _hard(limit: int) -> int:
    _, most = resource.getrlimit(limit)
    return 32768 if most == resource.RLIM_INFINITY else most


class Engine:
    """Runs between `start` and `stop`; nothing of it is left after that but what was fetched."""

    def __init__(self, parts: Path) -> None:
        self._parts = parts
        self.place = Path(tempfile.mkdtemp(prefix="relay-compose-"))
        self.environment = {
            **os.environ,
            "PATH": f"{parts}/usr/sbin:{parts}/usr/bin:{os.environ['PATH']}",
            "DOCKER_HOST": f"unix://{self.place}/docker.sock",
            "DOCKER_CONFIG": str(self.place / "config"),
            # Neither BuildKit nor buildx is among Debian's packages.
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_BAKE": "false",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        plugins = self.place / "config/cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(self._parts / "compose")
        # What this process may have: a machine may forbid to raise it.
        limits = [
            f"--default-ulimit {name}={most}:{most}"
            for name, most in (("nofile", files_limit()), ("nproc", _hard(resource.RLIMIT_NPROC)))
        ]
        daemon = (
            f"ip link set lo up; exec dockerd --data-root {self.place}/data"
            f" --exec-root {self.place}/exec --pidfile {self.place}/pid"
            f" --host unix://{self.place}/docker.sock {' '.join(limits)}"
        )
        with (self.place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", daemon],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        deadline = time.monotonic() + _START
        while subprocess.run(
            ["docker", "version"], env=self.environment, capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline, (self.place / "log").read_text()
            assert self._process.poll() is None, (self.place / "log").read_text()
            time.sleep(0.2)

    def docker(self, *arguments: str | Path, stdin: bytes | None = None) -> str:
        """What a command of docker printed."""
        return self._said(["docker", *map(str, arguments)], stdin)

    def inside(self, *command: str, stdin: bytes | None = None) -> str:
        """What a command printed that runs where the published ports are."""
        assert self._process is not None
        enter = ["nsenter", "--net", f"--target={self._process.pid}"]
        return self._said([*enter, *command], stdin)

    def _said(self, command: list[str], stdin: bytes | None) -> str:
        done = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, check=False
        )
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{command}: {said}{done.stderr.decode(errors='replace')}"
        return said

    def stop(self) -> None:
        """End it and remove what it kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
            mounted = line.split()[1]
            if mounted.startswith(f"{self.place}/"):
                run("umount", mounted)
        shutil.rmtree(self.place)
