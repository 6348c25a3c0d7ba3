"""The exit codes of every command, as docs/cli.md lists them."""

OK = 0
#: Not found, refused, or it did not work.
FAILED = 1
#: The command line or the settings are wrong; argparse uses the same code.
USAGE = 2
#: The store gave no answer.
UNAVAILABLE = 3
#: Ended by Ctrl-C, as shells count it.
INTERRUPTED = 130
