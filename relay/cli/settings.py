"""The commands about settings: `config show`, `config check`, `config docs`."""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from relay.cli import exits, output
from relay.config import load_settings
from relay.config.document import file, page, plain, written
from relay.config.load import settings_file
from relay.errors import ConfigError


def show(arguments: Namespace) -> int:
    """Every setting as it holds, in TOML, secrets masked."""
    settings = load_settings(arguments.config)
    if arguments.json:
        output.print_json(plain(settings))
    else:
        sys.stdout.write(written(settings))
    return exits.OK


def check(arguments: Namespace) -> int:
    """Tell all that is wrong; without a problem, which file was read."""
    source = settings_file(arguments.config, os.environ)
    problems: tuple[str, ...] = ()
    try:
        load_settings(arguments.config)
    except ConfigError as error:
        if not arguments.json:
            raise
        problems = error.problems
    if arguments.json:
        output.print_json({"file": str(source) if source else None, "problems": problems})
    else:
        sys.stdout.write(
            f"the settings are good ({source or 'no file, defaults and environment'})\n"
        )
    return exits.USAGE if problems else exits.OK


def docs(arguments: Namespace) -> int:
    """The reference of all settings."""
    sys.stdout.write(file() if arguments.toml else page())
    return exits.OK
