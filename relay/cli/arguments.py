"""The grammar of the command line: every command, its options, and where its code is."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from relay.cli.credential_arguments import CREDENTIALS, add_credentials
from relay.version import __version__

_EPILOG = """\
exit codes: 0 done, 1 not found or failed, 2 wrong usage or settings, 3 store unavailable
settings:   docs/configuration.md, or `relay config docs`
"""


class _Commands:
    """Adds commands to a parser, each with the options that all commands share."""

    def __init__(self, parser: ArgumentParser, title: str) -> None:
        self._add = parser.add_subparsers(
            dest="command", metavar="COMMAND", required=True, title=title
        ).add_parser

    def __call__(self, name: str, run: str, about: str, *, hidden: bool = False) -> ArgumentParser:
        description = about[0].upper() + about[1:] + "."
        if hidden:
            command = self._add(name, description=description)
        else:
            command = self._add(name, description=description, help=about)
        command.add_argument(
            "--config", metavar="FILE", type=Path, help="settings file (default: ./relay.toml)"
        )
        command.set_defaults(run=run)
        return command


def parser() -> ArgumentParser:
    """The whole grammar; `run` of what it parses names the function, "module:function"."""
    top = ArgumentParser(
        prog="relay",
        description="An outbound SMTP relay.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"relay {__version__}")
    command = _Commands(top, "commands")
    _add_up(command)
    _add_roles(command)
    _add_send(command)
    _add_sendmail(command)
    _add_status(command)
    _add_operations(command)
    _add_complaint(command)
    _add_moving(command)
    _add_credentials(command)
    _add_config(command)
    return top


def _add_up(command: _Commands) -> None:
    up = command(
        "up", "relay.cli.up.command:up", "run everything on this machine, over embedded servers"
    )
    up.add_argument(
        "--sandbox",
        action="store_true",
        help="deliver every domain to a built-in catch-all: nothing leaves the machine",
    )
    up.add_argument("--data", metavar="DIR", help="data directory (default: ./relay-data)")
    up.add_argument(
        "--held",
        action="store_true",
        help="hold all that is queued before anything is attempted, as after restoring a backup",
    )
    up.add_argument(
        "--exit-after-samples",
        action="store_true",
        help="with --sandbox: stop when the sample messages are delivered (1 if they are not)",
    )
    up.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="how long the sample messages may take (default: 60)",
    )


def _add_roles(command: _Commands) -> None:
    roles = "relay.cli.roles"
    command("smtp", f"{roles}.smtp:smtp", "accept messages over SMTP")
    command("http", f"{roles}.http:http", "accept messages over HTTP")
    worker = command("worker", f"{roles}.worker:worker", "deliver messages (a Celery worker)")
    worker.add_argument("celery", nargs="*", help="further options for celery, after --")
    command("exporter", f"{roles}.exporter:exporter", "show the store's metrics to Prometheus")
    command("sink", f"{roles}.sink:sink", "take every message, as the sandbox does", hidden=True)


def _add_send(command: _Commands) -> None:
    send = command("send", "relay.cli.send:send", "submit a message over SMTP")
    send.add_argument("file", nargs="?", help="an .eml file, - for standard input")
    send.add_argument("--from", dest="sender", metavar="ADDRESS", help="the envelope's sender")
    send.add_argument(
        "--to", action="append", default=[], metavar="ADDRESS", help="a recipient; may be repeated"
    )
    send.add_argument("--subject", default="", help="of a message that is not from a file")
    send.add_argument("--text", help="body of a message that is not from a file")
    _json(send)


def _add_sendmail(command: _Commands) -> None:
    sendmail = command(
        "sendmail",
        "relay.cli.sendmail:sendmail",
        "submit a message as sendmail(1) does, options and exit codes included",
    )
    # Its options are not argparse's kind: main hands them over as they are.
    sendmail.usage = (
        "relay sendmail [-ti] [-f SENDER] [-F NAME] [-B TYPE] [-N WHEN] [-R RET] [-V ENVID] "
        "[-C FILE] [--] [RECIPIENT ...]"
    )


def _add_status(command: _Commands) -> None:
    commands = "relay.cli.status"
    show = command("show", f"{commands}:show", "what became of a message, recipient by recipient")
    show.add_argument("id", help="the id from the reply that accepted it")
    _json(show)
    queue = command("queue", f"{commands}:queue", "what waits, by domain")
    queue.add_argument("domain", nargs="?", default="", help="this domain alone")
    queue.add_argument(
        "--limit", type=int, default=50, metavar="N", help="domains to show (default: 50)"
    )
    _json(queue)
    explain = command(
        "explain", "relay.cli.explain:explain", "why mail is not being sent, and where it would go"
    )
    explain.add_argument(
        "subject", metavar="ID|ADDRESS", help="a message, or a recipient's address"
    )
    _json(explain)
    _add_shape(command)
    _add_tail(command)
    _add_top(command)
    doctor = command(
        "doctor", "relay.cli.doctor:doctor", "whether all that mail depends on is as it should be"
    )
    doctor.add_argument("--domain", default="", metavar="NAME", help="a domain that sends: its DNS")
    doctor.add_argument(
        "--dkim-selector",
        action="append",
        default=[],
        metavar="S",
        help="with --domain: a DKIM key of it; may be repeated",
    )
    doctor.add_argument(
        "--connect",
        default="",
        metavar="HOST",
        help="connect to port 25 of this host; nothing is connected to without",
    )
    _json(doctor)


def _add_tail(command: _Commands) -> None:
    tail = command("tail", "relay.cli.tail:tail", "events: what became of whom")
    tail.add_argument(
        "-f", "--follow", action="store_true", help="go on with what happens from now on"
    )
    for option, about in (("--domain", "of this domain"), ("--kind", "of this kind")):
        tail.add_argument(
            option, action="append", default=[], metavar="NAME", help=f"{about}; may be repeated"
        )
    tail.add_argument("--tenant", metavar="NAME", help="of this tenant")
    tail.add_argument(
        "--after", default="", metavar="ID", help="behind the event with this id, kept or to come"
    )
    tail.add_argument("--json", action="store_true", help="for machines: a JSON object a line")


def _add_top(command: _Commands) -> None:
    top = command("top", "relay.cli.top:top", "what goes on now, again and again")
    top.add_argument("--once", action="store_true", help="print one frame and end")
    top.add_argument(
        "--interval",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="between two looks (default: 2)",
    )
    top.add_argument(
        "--limit", type=int, default=15, metavar="N", help="domains and sites (default: 15)"
    )
    _json(top)


def _add_shape(command: _Commands) -> None:
    shape = command("qshape", "relay.cli.shape:qshape", "what waits, by domain and age")
    shape.add_argument(
        "--by",
        choices=("domain", "tenant"),
        default="domain",
        help="what a row stands for (default: domain)",
    )
    shape.add_argument(
        "--state",
        choices=("all", "waiting", "leased", "deferred", "held"),
        default="all",
        help="count these alone (default: all)",
    )
    shape.add_argument(
        "--limit", type=int, default=20, metavar="N", help="rows to show (default: 20)"
    )
    shape.add_argument(
        "--sample",
        type=int,
        default=20_000,
        metavar="N",
        help="deliveries to look at, about; 0 for all (default: 20000)",
    )
    _json(shape)


def _add_operations(command: _Commands) -> None:
    commands = "relay.cli.operations"
    for name, about in (
        ("hold", "set deliveries aside: nobody attempts them until they are released"),
        ("release", "let held deliveries go on"),
        ("retry", "have deliveries attempted now that wait for later"),
        ("cancel", "stop what is not delivered yet"),
    ):
        _selection(command(name, f"{commands}:{name}", about))
    bounce = command(
        "bounce", f"{commands}:bounce", "end deliveries as failed: their senders get a DSN"
    )
    bounce.add_argument(
        "--reply",
        default="",
        metavar="TEXT",
        help="what the DSN says, with or without its codes (550 5.7.1)",
    )
    _selection(bounce)


def _add_complaint(command: _Commands) -> None:
    complaint = command(
        "complaint", "relay.cli.complaint:complaint", "note that a recipient complained"
    )
    complaint.add_argument(
        "file", nargs="?", default="-", help="a feedback report (ARF); - or none: standard input"
    )
    complaint.add_argument(
        "--id", default="", metavar="ID", help="the message, where there is no report"
    )
    complaint.add_argument(
        "--recipient", default="", metavar="ADDRESS", help="with --id: who complained"
    )
    complaint.add_argument(
        "--kind", default="abuse", metavar="KIND", help="with --id: of what (default: abuse)"
    )
    complaint.add_argument(
        "--tenant",
        default="",
        metavar="NAME",
        help="whose message it is, where the store no longer knows",
    )
    _json(complaint)


def _add_moving(command: _Commands) -> None:
    commands = "relay.cli.moving"
    drain = command("drain", f"{commands}:drain", "move everything queued into another store")
    drain.add_argument("--to", required=True, metavar="URL", help="the other store's URL")
    drain.add_argument(
        "--partitions", type=int, default=1, metavar="N", help="its partitions (default: 1)"
    )
    drain.add_argument(
        "--wait",
        default="2m",
        metavar="TIME",
        help="how long to wait for attempts under way (default: 2m)",
    )
    _json(drain)
    export = command("export", f"{commands}:export", "write everything queued into a file")
    export.add_argument("file", help="a new file; its messages are not encrypted")
    _json(export)
    import_ = command("import", f"{commands}:import_", "queue what is in such a file")
    import_.add_argument("file", help="what relay export wrote")
    import_.add_argument("--held", action="store_true", help="held, until relay release")
    _json(import_)


def _selection(command: ArgumentParser) -> None:
    """The options by which deliveries are selected: all that is said must apply."""
    command.add_argument("id", nargs="*", help="message ids, as in the replies that accepted them")
    for option, about in (
        ("--domain", "to this domain"),
        ("--site", "to domains that share this MX set, as relay explain names it"),
        ("--tenant", "of this tenant"),
        ("--tag", "with this tag"),
    ):
        command.add_argument(
            option, action="append", default=[], metavar="NAME", help=f"{about}; may be repeated"
        )
    command.add_argument(
        "--before", default="", metavar="WHEN", help="accepted before: 2h (ago), or a date and time"
    )
    command.add_argument(
        "--since", default="", metavar="WHEN", help="accepted since: 2h (ago), or a date and time"
    )
    command.add_argument("--all", action="store_true", help="everything, as far as not narrowed")
    command.add_argument(
        "-n", "--dry-run", action="store_true", help="count what is selected, change nothing"
    )
    _json(command)


def _add_credentials(command: _Commands) -> None:
    for kind, about in (
        ("user", "SMTP logins: add, list, show, set, rotate, disable, enable, remove"),
        ("token", "API tokens: the same"),
    ):
        add_credentials(_Commands(command(kind, "", about), "commands"), kind)
    audit = command("audit", f"{CREDENTIALS}:audit", "who changed which credential, newest first")
    audit.add_argument(
        "--limit", type=int, default=100, metavar="N", help="changes to show (default: 100)"
    )
    _json(audit)


def _add_config(command: _Commands) -> None:
    group = command("config", "", "settings: show, check, docs")
    what = _Commands(group, "commands")
    show = what("show", "relay.cli.settings:show", "every setting as it holds, secrets masked")
    _json(show)
    check = what("check", "relay.cli.settings:check", "tell all that is wrong with the settings")
    _json(check)
    docs = what("docs", "relay.cli.settings:docs", "the reference of all settings, in Markdown")
    docs.add_argument("--toml", action="store_true", help="as a settings file with all defaults")


def _json(command: ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="for machines: one JSON object")
