"""What the tests of the stores in MongoDB share: a prepared database, and an ear on the wire."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from mongostore import LocalMasterKey, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock

LIMIT = timedelta(seconds=10)
MASTER_KEY = LocalMasterKey.generate()


class Wire(CommandListener):
    """What goes over the wire: every command, as the server gets it, before it gets it.

    Attributes:
        sent: all commands so far.
        before_sending: called with the name of the database and each command.
    """

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.before_sending: Callable[[str, dict[str, Any]], None] | None = None

    def started(self, event: CommandStartedEvent) -> None:
        command = dict(event.command)
        self.sent.append(command)
        if self.before_sending:
            self.before_sending(event.database_name, command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def prepare(mongo_uri: str) -> Callable[[str], Awaitable[None]]:
    """Applies the schema to a database."""

    async def applied(database: str) -> None:
        connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
        await connection.open()
        await apply_schema(Binding(connection, database))
        await connection.close()

    return applied


@pytest.fixture
async def prepared_database(prepare: Callable[[str], Awaitable[None]], database_name: str) -> str:
    """A database of the test's own, with the schema applied."""
    await prepare(database_name)
    return database_name


@pytest.fixture
def open_store(mongo_uri: str, wire: Wire) -> Callable[[str], AbstractAsyncContextManager[MongoStore]]:
    """Opens a store on a database, its commands heard by `wire`."""

    @asynccontextmanager
    async def opened(database: str) -> AsyncIterator[MongoStore]:
        async with (
            AsyncMongoClient(mongo_uri, event_listeners=[wire]) as client,
            MongoStore(client, database=database, master_key=MASTER_KEY, clock=FakeClock()) as store,
        ):
            yield store

    return opened
