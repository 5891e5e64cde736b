"""What is particular to the replay cache in MongoDB: nothing but hashes is stored."""

from datetime import timedelta

import pytest
from bson import encode

MINUTE = timedelta(minutes=1)
HANDLE = "jti-of-a-client-assertion"


@pytest.fixture
def collection(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["replay_cache"]


async def test_neither_purpose_nor_handle_is_stored(store, collection):
    """An entry is a hash and the instant at which it is over; it needs no key."""
    expires_at = store.clock.now() + MINUTE
    await store.replay_cache.add("client-assertions", HANDLE, expires_at)
    (stored,) = collection.find()
    assert set(stored) == {"_id", "tenant", "purge_at"}
    assert stored["purge_at"].replace(tzinfo=expires_at.tzinfo) == expires_at
    assert HANDLE.encode() not in encode(stored)
    assert b"client-assertions" not in encode(stored)
    assert collection.database["data_keys"].count_documents({}) == 0


async def test_an_entry_is_of_one_size_whatever_the_handle(store, collection):
    """A long handle costs the database no more than a short one."""
    for length in (1, 100_000):
        await store.replay_cache.add("jti", "x" * length, store.clock.now() + MINUTE)
    assert len({len(encode(each)) for each in collection.find()}) == 1
