"""What the tests of the stores in MongoDB share: a prepared database, and an ear on the wire."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import wraps
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from mongostore import LocalMasterKey, MongoStore, StoreOptions
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import Protector, SealingProtector
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock

LIMIT = timedelta(seconds=30)
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
        if _is_of_a_change_stream(command):
            return
        self.sent.append(command)
        if self.before_sending:
            self.before_sending(event.database_name, command)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def _is_of_a_change_stream(command: dict[str, Any]) -> bool:
    # What listens for changes goes on beside everything else.
    pipeline = command.get("pipeline")
    return command.get("collection") == "$cmd.aggregate" or bool(pipeline and "$changeStream" in pipeline[0])


@pytest.fixture
def wire() -> Wire:
    return Wire()


@asynccontextmanager
async def bound(uri: str, database: str) -> AsyncIterator[Binding]:
    connection = Connection(uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    yield Binding(connection, database)
    await connection.close()


@pytest.fixture
def prepare(mongo_uri: str) -> Callable[..., Awaitable[None]]:
    """Applies the schema to a database, of another server when its URI is given."""

    async def applied(database: str, uri: str = mongo_uri) -> None:
        async with bound(uri, database) as binding:
            await apply_schema(binding)

    return applied


@pytest.fixture
async def prepared_binding(mongo_uri: str, prepared_database: str) -> AsyncIterator[Binding]:
    """What the stores work on, for looking at what they would do."""
    async with bound(mongo_uri, prepared_database) as binding:
        yield binding


@pytest.fixture
def protector(prepared_binding: Binding) -> Protector:
    """Seals with the keys that an opened store has."""
    return SealingProtector(KeyRing(MongoDataKeyStore(prepared_binding), MASTER_KEY, FakeClock()))


@pytest.fixture
async def prepared_database(prepare: Callable[..., Awaitable[None]], database_name: str) -> str:
    """A database of the test's own, with the schema applied."""
    await prepare(database_name)
    return database_name


@pytest.fixture
def open_store(mongo_uri: str, wire: Wire) -> Callable[..., AbstractAsyncContextManager[MongoStore]]:
    """Opens a store on a database, its commands heard by `wire`."""

    @asynccontextmanager
    async def opened(database: str, **options: Any) -> AsyncIterator[MongoStore]:
        chosen = StoreOptions(**options)
        async with (
            AsyncMongoClient(mongo_uri, event_listeners=[wire]) as client,
            MongoStore(client, database=database, master_key=MASTER_KEY, options=chosen, clock=FakeClock()) as store,
        ):
            yield store

    return opened


@pytest.fixture
async def store(
    open_store: Callable[..., AbstractAsyncContextManager[MongoStore]], prepared_database: str
) -> AsyncIterator[MongoStore]:
    """A store on a database of the test's own, with the schema applied."""
    async with open_store(prepared_database) as opened:
        yield opened


@pytest.fixture
def uncalled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, object]], set[str]]:
    """Gives `name.method` of every public method of some named objects or classes, less those called since."""

    def watched(things: Mapping[str, object]) -> set[str]:
        left: set[str] = set()
        for name, thing in things.items():
            kind = thing if inspect.isclass(thing) else type(thing)
            for method, _ in inspect.getmembers(kind, inspect.isfunction):
                if not method.startswith("_"):
                    left.add(f"{name}.{method}")
                    monkeypatch.setattr(thing, method, _noted(getattr(thing, method), f"{name}.{method}", left))
        return left

    return watched


def _noted(method: Callable[..., Any], name: str, left: set[str]) -> Callable[..., Any]:
    @wraps(method)
    def noted(*arguments: Any, **named: Any) -> Any:
        left.discard(name)
        return method(*arguments, **named)

    return noted


@pytest.fixture
def attributes_of() -> Callable[[MongoStore], dict[str, object]]:
    """Gives every public attribute of a store, by its name."""
    return lambda store: {name: value for name, value in vars(store).items() if not name.startswith("_")}
