"""The backends that every contract suite runs on; another one needs a line in `BACKENDS` and a function like these."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient, MongoClient, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession

from mongostore import LocalMasterKey, MemoryStore, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.options import StoreOptions
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock

MASTER_KEY = LocalMasterKey.generate()
# Far longer than anything takes, so that no other load on the machine decides.
LIMIT = timedelta(seconds=30)


class PreparedStore(MongoStore):
    """On a schema that was just applied: to check it again for each of thousands of tests takes most of their time."""

    async def _warn_of_drift(self) -> None:
        pass


@asynccontextmanager
async def memory(_client: None, _database: str, options: StoreOptions) -> AsyncIterator[MemoryStore]:
    async with MemoryStore(clock=FakeClock(), options=options) as store:
        yield store


@asynccontextmanager
async def mongo(client: Any, database: str, options: StoreOptions) -> AsyncIterator[MongoStore]:
    store = PreparedStore(client, database=database, master_key=MASTER_KEY, clock=FakeClock(), options=options)
    async with store:
        yield store


@asynccontextmanager
async def in_a_transaction(client: Any, database: str, options: StoreOptions) -> AsyncIterator[MongoStore]:
    """Used by a server that has bound a session with a transaction of its own, which is undone in the end."""
    if not hasattr(AsyncClientSession, "bind"):
        pytest.skip("this PyMongo binds no sessions")
    async with mongo(client, database, options) as store, client.start_session() as session, session.bind():
        await session.start_transaction()
        yield store
        await session.abort_transaction()


BACKENDS: dict[str, Callable[[Any, str, StoreOptions], AbstractAsyncContextManager[MemoryStore | MongoStore]]] = {
    "memory": memory,
    "pymongo": mongo,
    "motor": mongo,
    "in_a_transaction": in_a_transaction,
}

# These run the same code in other surroundings: some suites show that it holds there, and all of them run with --all.
OTHER_SURROUNDINGS = {"motor", "in_a_transaction"}
ALWAYS = {"TestClients", "TestPersistedGrants", "TestAuthorizationCodes", "TestRefreshTokens"}


@pytest.fixture(scope="session")
async def clients(mongo_uri: str) -> AsyncIterator[dict[str, Any]]:
    """The connection that each backend is handed."""
    motor = pytest.importorskip("motor.motor_asyncio").AsyncIOMotorClient(mongo_uri)
    async with AsyncMongoClient(mongo_uri) as client:
        yield {"memory": None, "pymongo": client, "motor": motor, "in_a_transaction": client}
    motor.close()


@pytest.fixture(scope="session")
async def contract_database(mongo_uri: str, mongo_connection: MongoClient) -> AsyncIterator[str]:
    """A database with the schema applied, emptied before each test."""
    name = f"contracts_{uuid4().hex[:16]}"
    options = StoreOptions()
    connection = Connection(
        mongo_uri,
        operation_timeout=options.operation_timeout,
        server_selection_timeout=options.server_selection_timeout,
    )
    await connection.open()
    await apply_schema(Binding(connection, name))
    await connection.close()
    yield name
    mongo_connection.drop_database(name)


@pytest.fixture(scope="session")
def collections(contract_database: str, mongo_connection: MongoClient) -> list[str]:
    return mongo_connection[contract_database].list_collection_names()


@pytest.fixture(params=BACKENDS)
def backend(
    request: pytest.FixtureRequest, contract_database: str, collections: list[str], mongo_connection: MongoClient
) -> Iterator[str]:
    """A backend's name, with nothing left of the last test."""
    suite = request.cls.__name__ if request.cls else ""
    if request.param in OTHER_SURROUNDINGS and suite not in ALWAYS and not request.config.getoption("--all"):
        pytest.skip("the rest of the suites runs so with scripts/test --all")
    if request.param != "memory":
        # To wait for a majority each time would take most of the suites' time; the last one waits for all of them.
        database = mongo_connection.get_database(contract_database, write_concern=WriteConcern(w=1))
        for collection in collections:
            database[collection].delete_many({})
        mongo_connection[contract_database]["leases"].delete_one({})
    return request.param


@pytest.fixture
async def store(
    request: pytest.FixtureRequest, backend: str, clients: dict[str, Any], contract_database: str
) -> AsyncIterator[MemoryStore | MongoStore]:
    """A store with the defaults, but for the time limit, or with the `options` of the suite's class."""
    options = getattr(request.cls, "options", StoreOptions(operation_timeout=LIMIT))
    async with BACKENDS[backend](clients[backend], contract_database, options) as opened:
        yield opened
