"""`mongostore keys`: makes the master key."""

import argparse
import sys

from mongostore.protection.master_keys import LocalMasterKey

HELP = "Make master keys."

_HINT = """\
This is a new master key: the one thing that opens what is stored, and MongoDB must never see it.
Keep it in your secret manager, apart from the database's backups, and hand it to the server, for example as
the environment variable MONGOSTORE_MASTER_KEY. Whoever loses it loses everything that was sealed under it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments, and that `run` does it."""
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser(
        "generate-master",
        help="print a new master key (and only that) on stdout",
        description="Print a new master key.",
    )


def run(_: argparse.Namespace) -> int:
    """Print the key on stdout, so that it can be piped, and what to do with it on stderr."""
    print(LocalMasterKey.generate().export())
    print(_HINT, file=sys.stderr)
    return 0
