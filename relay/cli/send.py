"""The command `send`: a message from a file, from standard input or from options."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from relay.cli import exits, output
from relay.cli.submit import Outgoing, composed, from_file, submit
from relay.config import load_settings
from relay.errors import ConfigError


def send(arguments: Namespace) -> int:
    """Submit one message over SMTP and print the id it was accepted under."""
    server = load_settings(arguments.config).smtp.listen[0]
    accepted = submit(server, _message(arguments))
    if arguments.json:
        output.print_json(accepted)
    else:
        sys.stdout.write(f"{accepted.reply} ({accepted.took_ms:g} ms)\n")
    return exits.OK


def _message(arguments: Namespace) -> Outgoing:
    """The message that the options name. Raises ConfigError where they do not make one."""
    try:
        if arguments.file is None and arguments.text is not None:
            return _composed(arguments)
        content = _read(arguments.file or "-")
        return from_file(content, arguments.sender, arguments.to)
    except (OSError, ValueError) as error:
        raise ConfigError([str(error)]) from None


def _composed(arguments: Namespace) -> Outgoing:
    if not (arguments.sender and arguments.to):
        raise ValueError("--text needs --from and --to")
    return composed(arguments.sender, arguments.to, arguments.subject, arguments.text)


def _read(name: str) -> bytes:
    if name != "-":
        return Path(name).read_bytes()
    if sys.stdin.isatty():
        raise ValueError("name a file, give --text, or pipe a message in")
    return sys.stdin.buffer.read()
