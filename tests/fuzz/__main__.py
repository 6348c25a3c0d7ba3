"""Fuzz one target, or all of them one after the other: `python -m tests.fuzz --seconds 60`.

What is found is kept in `.fuzz/` and begun with the next time; an input that breaks something is
written to `.fuzz/<target>/found/` and told. Put it into `tests/fuzz/corpus/<target>/` with the
repair, so that it is tried for ever.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
#: What an input of each target is made of (libFuzzer's -dict).
WORDS = Path(__file__).parent / "words"
#: Octets of an input, seconds for one, and megabytes of memory, at most.
_LIMITS = ("-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=0")


def main() -> int:
    """Fuzz as the command line says; 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="which ones (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="how long each (default: 60)")
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where finds are kept")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return fuzz(arguments.targets[0], arguments.seconds, arguments.keep)
    chosen = arguments.targets or sorted(path.name for path in CORPUS.iterdir())
    broken = [name for name in chosen if not _apart(name, arguments.seconds, arguments.keep)]
    for name in broken:
        sys.stderr.write(f"fuzz: {name} broke; its input is in {arguments.keep / name / 'found'}\n")
    return 1 if broken else 0


def _apart(name: str, seconds: int, keep: Path) -> bool:
    """Fuzz a target in a process of its own, as libFuzzer ends the one it runs in."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--one"]
    return not subprocess.call([*command, "--seconds", str(seconds), "--keep", str(keep)])


def fuzz(name: str, seconds: int, keep: Path) -> int:
    """Never returns where all goes well: libFuzzer exits."""
    atheris = importlib.import_module("atheris")
    kept, found = keep / name / "corpus", keep / name / "found"
    for directory in (kept, found):
        directory.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(
        include=["relay.mail", "relay.lookup.wire", "relay.store.codec"]
    ):
        targets = importlib.import_module("tests.fuzz.targets")
    limits = [*_LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/"]
    atheris.Setup(
        [sys.argv[0], *limits, f"-dict={WORDS}", str(kept), str(CORPUS / name)],
        targets.TARGETS[name],
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
