"""A database without a schema, as the stores and as an operator see it."""

from datetime import timedelta

import pytest

from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection

LIMIT = timedelta(seconds=30)


@pytest.fixture
async def connection(mongo_uri):
    connection = Connection(mongo_uri, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
def binding(connection, database_name):
    return Binding(connection, database_name)


@pytest.fixture
def database(mongo_connection, database_name):
    """The operator's hands."""
    return mongo_connection[database_name]
