"""`mongostore schema`: shows, makes and checks the indexes and validators of a database."""

import argparse
import asyncio
import os
from datetime import timedelta

from mongostore.cli.schema_report import ProgressLine, Report, as_json, as_text
from mongostore.clock import SystemClock
from mongostore.errors import ConfigurationError
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.databases import Databases
from mongostore.mongo.tenants import MongoTenantRegistry
from mongostore.options import StoreOptions
from mongostore.schema import Change, Drift, apply_schema, check_schema, plan_schema
from mongostore.tenancy import DEFAULT_TENANT, DatabasePerTenant, SharedDatabase

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
        action.add_argument("--configuration-database", help="where clients and resources lie, if in one of their own")
        action.add_argument("--key-ring-database", help="where the data keys lie, if in one of their own")
        action.add_argument("--collection-prefix", default="", help="as in StoreOptions")
        action.add_argument(
            "--ttl-delay", type=int, default=0, metavar="SECONDS", help="as in StoreOptions, for a TokenCleanupService"
        )
        action.add_argument("--tenant-pattern", help="as in DatabasePerTenant, such as identity_{tenant}")
        action.add_argument(
            "--all-tenants",
            action="store_true",
            help="with --tenant-pattern: the database of every registered tenant too",
        )
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
    reports = asyncio.run(_reports(arguments))
    print(as_json(reports) if arguments.json else "\n".join(map(as_text, reports)))
    return 0 if arguments.action == "plan" or all(report.in_order for report in reports) else 1


async def _reports(arguments: argparse.Namespace) -> list[Report]:
    uri = _given(arguments.uri, "--uri", "MONGOSTORE_URI")
    database = _given(arguments.database, "--database", "MONGOSTORE_DATABASE")
    try:
        options = StoreOptions(
            collection_prefix=arguments.collection_prefix, ttl_delay=timedelta(seconds=arguments.ttl_delay)
        )
        connection = Connection(
            uri,
            operation_timeout=options.operation_timeout,
            server_selection_timeout=options.server_selection_timeout,
        )
        pattern = arguments.tenant_pattern
        databases = Databases(
            connection,
            database,
            prefix=options.collection_prefix,
            placement=SharedDatabase() if pattern is None else DatabasePerTenant(pattern=pattern),
            configuration=arguments.configuration_database,
            key_ring=arguments.key_ring_database,
            ttl_delay=options.ttl_delay,
        )
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(str(error)) from error
    if arguments.all_tenants and pattern is None:
        raise ConfigurationError(
            "--all-tenants goes with --tenant-pattern: without one, all tenants are in one database"
        )
    await connection.open()
    try:
        tenants = [DEFAULT_TENANT]
        if arguments.all_tenants:
            tenants += await MongoTenantRegistry(databases.main, SystemClock()).registered()
        try:
            bindings = databases.all(tenants)
        except ValueError as error:
            raise ConfigurationError(f"nothing was done: {error}") from error
        return [await _done(arguments, binding, databases.main) for binding in bindings]
    finally:
        await connection.close()


async def _done(arguments: argparse.Namespace, binding: Binding, main: Binding) -> Report:
    done: tuple[Change, ...] = ()
    if arguments.action == "apply":
        with ProgressLine() as progress:
            applied = await apply_schema(binding, on_progress=progress, drop_foreign=arguments.drop_foreign, main=main)
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
