"""The injector and the sink as programs: compiled here, or Postfix's where there is no compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).parent / "src"
_BINARIES = Path(__file__).parent / "bin"


def compiler() -> str | None:
    """The C compiler; None where there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def program(name: str) -> Path | None:
    """The program of that name, compiled when its source is newer; None without a compiler."""
    source, binary = _SOURCES / f"{name}.c", _BINARIES / name
    if binary.exists() and binary.stat().st_mtime > source.stat().st_mtime:
        return binary
    cc = compiler()
    if cc is None:
        return None
    _BINARIES.mkdir(exist_ok=True)
    subprocess.run([cc, "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source)], check=True)
    return binary
