"""What is written in C, compiled here: injector and sink, and a library that slows syncs down.

Where there is no compiler, Postfix's injector and sink do instead.
"""

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
    return _compiled(name, name)


def library(name: str) -> Path | None:
    """The library of that name, in the same way."""
    return _compiled(name, f"{name}.so", "-shared", "-fPIC")


def _compiled(name: str, result: str, *options: str) -> Path | None:
    source, binary = _SOURCES / f"{name}.c", _BINARIES / result
    if binary.exists() and binary.stat().st_mtime > source.stat().st_mtime:
        return binary
    cc = compiler()
    if cc is None:
        return None
    _BINARIES.mkdir(exist_ok=True)
    words = [cc, "-O2", "-Wall", "-Wextra", *options, "-o", str(binary), str(source), "-ldl"]
    subprocess.run(words, check=True)
    return binary
