"""The console script `relay`: finds the command, runs it, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from relay.cli import exits
from relay.cli.arguments import parser
from relay.errors import BadCredential, ConfigError, RelayError, StoreUnavailable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is one of `relay.cli.exits`."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["sendmail"] and words[1:2] not in (["--help"], ["-h"]):
        arguments = Namespace(run="relay.cli.sendmail:sendmail", words=words[1:])
    else:
        arguments = parser().parse_args(words)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except (RelayError, ConnectionError) as error:
        return _failed(error)


def _run(arguments: Namespace) -> int:
    """Import the command's module, and no other: `relay --help` must not wait for what it needs."""
    module, _, function = arguments.run.partition(":")
    code: int = getattr(importlib.import_module(module), function)(arguments)
    return code


def _failed(error: RelayError | ConnectionError) -> int:
    for problem in _problems(error):
        sys.stderr.write(f"relay: {problem}\n")
    if isinstance(error, StoreUnavailable | ConnectionError):
        return exits.UNAVAILABLE
    return exits.USAGE if isinstance(error, ConfigError | BadCredential) else exits.FAILED


def _problems(error: RelayError | ConnectionError) -> Sequence[str]:
    if isinstance(error, ConfigError | BadCredential):
        return error.problems
    if isinstance(error, StoreUnavailable):
        return [
            f"the store gives no good answer: {error}; name another by store.url or "
            "RELAY_STORE__URL, or the data directory of a running relay up by RELAY_DATA"
        ]
    return [str(error)]
