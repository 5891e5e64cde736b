"""A store over a connection whose commands can be looked at."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.schema import apply_schema

MASTER_KEY = LocalMasterKey.generate()


class Commands(CommandListener):
    """What was sent to the database of a test."""

    def __init__(self, database: str) -> None:
        self._database = database
        self.sent: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.database_name == self._database:
            self.sent.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass

    def taken(self) -> list[dict[str, Any]]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent

    def names(self) -> list[str]:
        """The names of what was sent since the last time."""
        return [next(iter(command)) for command in self.taken()]


@pytest.fixture
def commands(database_name: str) -> Commands:
    return Commands(database_name)


@pytest.fixture
async def store(mongo_uri: str, database_name: str, commands: Commands) -> AsyncIterator[MongoStore]:
    """An open store with its schema applied; what it sent so far does not count."""
    async with AsyncMongoClient(mongo_uri, event_listeners=[commands]) as client:
        minute = timedelta(minutes=1)
        connection = Connection(client, operation_timeout=minute, server_selection_timeout=minute)
        await apply_schema(Binding(connection, database_name))
        options = StoreOptions(caching=None)
        async with MongoStore(client, database=database_name, master_key=MASTER_KEY, options=options) as opened:
            commands.taken()
            yield opened


@pytest.fixture
def raw(mongo_connection: MongoClient, database_name: str) -> Database:
    """The database, behind the store's back."""
    return mongo_connection[database_name]
