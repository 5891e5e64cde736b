"""The backends that every contract suite runs on; another one needs a line in `BACKENDS` and a function like these."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient, MongoClient

from mongostore import LocalMasterKey, MemoryStore, MongoStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.options import StoreOptions
from mongostore.schema import apply_schema
from mongostore.testing import FakeClock

MASTER_KEY = LocalMasterKey.generate()


@asynccontextmanager
async def memory(uri: str, database: str) -> AsyncIterator[MemoryStore]:
    async with MemoryStore(clock=FakeClock()) as store:
        yield store


@asynccontextmanager
async def pymongo(uri: str, database: str) -> AsyncIterator[MongoStore]:
    async with (
        AsyncMongoClient(uri) as client,
        MongoStore(client, database=database, master_key=MASTER_KEY, clock=FakeClock()) as store,
    ):
        yield store


@asynccontextmanager
async def motor(uri: str, database: str) -> AsyncIterator[MongoStore]:
    motor_asyncio = pytest.importorskip("motor.motor_asyncio")
    client = motor_asyncio.AsyncIOMotorClient(uri)
    async with MongoStore(client, database=database, master_key=MASTER_KEY, clock=FakeClock()) as store:
        yield store
    client.close()


BACKENDS: dict[str, Callable[[str, str], AbstractAsyncContextManager[MemoryStore | MongoStore]]] = {
    "memory": memory,
    "pymongo": pymongo,
    "motor": motor,
}


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


@pytest.fixture
def emptied_database(contract_database: str, mongo_connection: MongoClient) -> Iterator[str]:
    database = mongo_connection[contract_database]
    for collection in database.list_collection_names():
        database[collection].delete_many({})
    yield contract_database


@pytest.fixture(params=BACKENDS)
async def store(
    request: pytest.FixtureRequest, mongo_uri: str, emptied_database: str
) -> AsyncIterator[MemoryStore | MongoStore]:
    async with BACKENDS[request.param](mongo_uri, emptied_database) as opened:
        yield opened
