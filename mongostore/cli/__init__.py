"""The command line: arguments in, text and exit codes out; what is done is done elsewhere.

Exit codes (frozen): 0 all is well, 1 the answer is "no" (a drift), 2 it could not be done.
"""

import argparse
import sys
from collections.abc import Sequence

from mongostore.cli import keys, schema
from mongostore.errors import MongostoreError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of `mongostore`.

    Args:
        argv: its words; None: those of this process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="mongostore", description="Operate the storage of an identity server on MongoDB."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in {"schema": schema, "keys": keys}.items():
        module.add_arguments(commands.add_parser(name, help=module.HELP, description=module.HELP))
    return execute(parser, argv)


def execute(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse the words and run the command that they name; an error of ours becomes one line on stderr.

    Args:
        parser: made with a command's `add_arguments`.
        argv: the words; None: those of this process.

    Returns:
        The exit code.
    """
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except MongostoreError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return code
