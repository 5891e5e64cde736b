"""Stores of one's own in the place of ours."""

from contextlib import asynccontextmanager

import pytest
from pymongo import AsyncMongoClient

from mongostore import LocalMasterKey, MongoStore
from mongostore.memory.clients import MemoryClientStore
from mongostore.memory.revisions import MemoryRevisions
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_client, a_consent

KEY = LocalMasterKey.generate()


@pytest.fixture
def open_with(mongo_uri, prepared_database):
    """Opens a store with replacements."""

    @asynccontextmanager
    async def opened(**replacements):
        async with (
            AsyncMongoClient(mongo_uri) as client,
            MongoStore(client, database=prepared_database, master_key=KEY, clock=FakeClock(), **replacements) as store,
        ):
            yield store

    return opened


async def test_deleting_a_client_that_lies_elsewhere_revokes_its_grants(open_with):
    """The grants are here, wherever the clients are."""
    async with open_with(clients=MemoryClientStore(MemoryRevisions())) as store:
        await store.clients.save_client(a_client())
        await store.user_consents.store_user_consent(a_consent())
        assert await store.clients.delete_client("web") is True
        assert await store.user_consents.get_user_consent("alice", "web") is None
