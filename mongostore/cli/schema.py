"""`mongostore schema`: shows, makes and checks the indexes and validators of a database."""

import argparse
import asyncio
import os

from mongostore.cli.schema_report import ProgressLine, Report, as_json, as_text
from mongostore.errors import ConfigurationError
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.options import StoreOptions
from mongostore.schema import Change, Drift, apply_schema, check_schema, plan_schema

HELP = "Show, make and check the indexes and validators of a database."

_ACTIONS = {
    "plan": "show what apply would do; writes nothing",
    "apply": "make it so; again and again without harm, so run it at every deployment",
    "check": "exit with 1 when the database is not as it should be; writes nothing",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments, and that `run` does it."""
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, purpose in _ACTIONS.items():
        action = actions.add_parser(name, help=purpose, description=purpose)
        action.add_argument(
            "--uri",
            help="MongoDB's URI; better in the environment variable MONGOSTORE_URI, where no process list shows it",
        )
        action.add_argument("--database", help="its name; or in the environment variable MONGOSTORE_DATABASE")
        action.add_argument("--collection-prefix", default="", help="as in StoreOptions")
        action.add_argument("--json", action="store_true", help="print the result for machines")
        if name == "check":
            action.add_argument("--allow-foreign", action="store_true", help="accept indexes that somebody else made")
        if name == "apply":
            action.add_argument("--drop-foreign", action="store_true", help="drop indexes that somebody else made")


def run(arguments: argparse.Namespace) -> int:
    """Do it and print what came of it.

    Returns:
        1 when `check` finds a drift, or when `apply` has to leave what is in its way.
    """
    report = asyncio.run(_report(arguments))
    print(as_json(report) if arguments.json else as_text(report))
    return 0 if report.in_order or arguments.action == "plan" else 1


async def _report(arguments: argparse.Namespace) -> Report:
    uri = _given(arguments.uri, "--uri", "MONGOSTORE_URI")
    database = _given(arguments.database, "--database", "MONGOSTORE_DATABASE")
    try:
        options = StoreOptions(collection_prefix=arguments.collection_prefix)
        connection = Connection(
            uri,
            operation_timeout=options.operation_timeout,
            server_selection_timeout=options.server_selection_timeout,
        )
        binding = Binding(connection, database, options.collection_prefix)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    await connection.open()
    try:
        return await _done(arguments, binding)
    finally:
        await connection.close()


async def _done(arguments: argparse.Namespace, binding: Binding) -> Report:
    done: tuple[Change, ...] = ()
    if arguments.action == "apply":
        with ProgressLine() as progress:
            applied = await apply_schema(binding, on_progress=progress, drop_foreign=arguments.drop_foreign)
        done, left = applied.done, applied.left
        in_order = all(each.kind is Drift.FOREIGN_INDEX for each in left)
    else:
        plan = arguments.action == "plan"
        left = (
            (await plan_schema(binding)).changes
            if plan
            else await check_schema(binding, allow_foreign=arguments.allow_foreign)
        )
        in_order = not left
    return Report(arguments.action, binding.database_name, binding.prefix, in_order, done, left)


def _given(value: str | None, argument: str, variable: str) -> str:
    found = value or os.environ.get(variable)
    if not found:
        raise ConfigurationError(f"give {argument}, or set the environment variable {variable}")
    return found
