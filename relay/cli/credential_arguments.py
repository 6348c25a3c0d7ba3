"""The grammar of `relay user` and `relay token`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Protocol

#: Those of relay.policy.credential, which is not imported: `relay --help` must come at once.
SCOPES = ("send", "read", "admin")
CREDENTIALS = "relay.cli.credentials"


class _Commands(Protocol):
    def __call__(self, name: str, run: str, about: str) -> ArgumentParser: ...


def add_credentials(command: _Commands, kind: str) -> None:
    """The commands of one kind of credential, `user` or `token`."""
    secret = "password" if kind == "user" else "token"
    what = "login" if kind == "user" else "API token"
    add = _named(command, kind, "add", f"make a {what}; its {secret} is shown once")
    _terms(add)
    _secret(add, kind)
    everything = command("list", f"{CREDENTIALS}:listed", f"all {what}s")
    everything.set_defaults(kind=kind)
    _json(everything)
    _named(command, kind, "show", f"what a {what} may do")
    change = _named(command, kind, "set", f"give a {what} other terms; what is not named stays")
    _terms(change)
    rotate = _named(command, kind, "rotate", f"make another {secret}; the old one ends later")
    rotate.add_argument(
        "--overlap",
        default="24h",
        metavar="TIME",
        help=f"how long the old {secret} is still taken, such as 0s or 7d (default: 24h)",
    )
    _secret(rotate, kind)
    _named(command, kind, "disable", "take it no more, until enable")
    _named(command, kind, "enable", "take it again")
    _named(command, kind, "remove", "take it away for good")


def _named(command: _Commands, kind: str, verb: str, about: str) -> ArgumentParser:
    made = command(verb, f"{CREDENTIALS}:{verb if verb != 'set' else 'change'}", about)
    made.set_defaults(kind=kind)
    made.add_argument("name", help="its name, in lower case")
    _json(made)
    return made


def _secret(command: ArgumentParser, kind: str) -> None:
    if kind == "user":
        command.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of standard input, rather than make one",
        )


def _terms(command: ArgumentParser) -> None:
    """The options that a credential's terms come from; what is left out is None."""
    add = command.add_argument
    add("--tenant", metavar="T", help="whose messages they are (default: the default tenant)")
    add(
        "--sender",
        dest="senders",
        action="append",
        metavar="S",
        help="what it may send as: an address, a domain, .domain (and all below it) or *; may be "
        "repeated",
    )
    add(
        "--scope",
        dest="scopes",
        action="append",
        choices=SCOPES,
        help="what it may do; may be repeated (default: send)",
    )
    add(
        "--network",
        dest="networks",
        action="append",
        metavar="CIDR",
        help="where it may be used from; may be repeated (default: anywhere)",
    )
    for what in ("messages", "recipients"):
        for period in ("minute", "day"):
            add(
                f"--{what}-per-{period}",
                dest=f"{what}_{period}",
                type=int,
                metavar="N",
                help=f"quota of {what} a {period}, 0 for none (default: none)",
            )
    add("--expires", metavar="WHEN", help="a date (2030-01-31), a time from now (90d) or never")
    add("--note", help="what it is for")


def _json(command: ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for machines: one JSON object")
