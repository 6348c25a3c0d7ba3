"""Stand-ins for the images that the files ask for, made of Debian's packages.

They have Debian's versions of the programs, at the paths and under the users of the images whose
names they bear.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.compose.engine import Engine
from tests.compose.parts import run

_BASE = "debian:bookworm-slim"
_PYTHON = "ca-certificates,python3,python3-venv"
_SERVERS = "redis-server,redis-tools,prometheus,prometheus-alertmanager"

#: What is built from the checkout, and programs that Debian does not have.
_NOT_MADE = ("relay:", "grafana/", "mher/flower:")
#: What the images add to the base, by the beginning of their names.
_DOCKERFILES = {
    "python:": """
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
COPY wheels /wheels
RUN ln -s /usr/bin/python3 /usr/local/bin/python
""",
    "valkey/valkey:": """
RUN ln -s /usr/bin/redis-server /usr/local/bin/valkey-server
RUN ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli
RUN useradd --uid 999 valkey && mkdir /data && chown valkey:valkey /data
VOLUME /data
WORKDIR /data
USER valkey
CMD ["valkey-server"]
""",
    "prom/prometheus:": """
RUN mkdir /prometheus && chown nobody /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
""",
    "prom/alertmanager:": """
RUN ln -s /usr/bin/prometheus-alertmanager /bin/alertmanager
RUN mkdir /alertmanager && chown nobody /alertmanager
USER nobody
VOLUME /alertmanager
WORKDIR /alertmanager
ENTRYPOINT ["/bin/alertmanager"]
CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]
""",
}


def named(*files: Path) -> set[str]:
    """The images that compose files and Dockerfiles name and that nobody builds."""
    found: set[str] = set()
    for file in files:
        found |= set(re.findall(r"^(?:\s*image:|FROM) +(\S+)", file.read_text(), re.MULTILINE))
    return {name for name in found if not name.startswith(_NOT_MADE)}


def make(engine: Engine, checkout: Path, cache: Path) -> None:
    """Have a stand-in for each image in the engine."""
    base = _root_file_system(cache)
    engine.docker("import", base, _BASE)
    context = engine.place / "images"
    (context / "wheels").mkdir(parents=True)
    _wheels(checkout, context / "wheels")
    for name in sorted(named(checkout / "docker-compose.yml", checkout / "deploy/Dockerfile")):
        added = next((text for start, text in _DOCKERFILES.items() if name.startswith(start)), None)
        assert added is not None, f"no stand-in is known for the image {name}"
        (context / "Dockerfile").write_text(f"FROM {_BASE}\n{added}")
        engine.docker("build", "--quiet", "--pull=false", "--tag", name, context)


def _root_file_system(cache: Path) -> Path:
    """Debian with all programs that the stand-ins are made of."""
    base = cache / "base.tar"
    if not base.exists():
        unfinished = cache / "unfinished.tar"
        run(
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PYTHON},{_SERVERS}",
            "bookworm", unfinished,
        )  # fmt: skip
        unfinished.rename(base)
    return base


def _wheels(checkout: Path, wheels: Path) -> None:
    """All that the image installs, so that building it needs no network."""
    constraints = checkout / "constraints.txt"
    # Debian's Python is older than the one here, and redis wants async-timeout for that.
    wanted = (checkout, "hatchling>=1.25,<2", "async-timeout")
    download = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", wheels)
    run(*download, "-c", constraints, *wanted)
