"""What is particular to messages in MongoDB: hashed ids, sealed data, the option for their lifetime."""

from datetime import timedelta

import pytest
from bson import encode

from mongostore import LocalMasterKey, MemoryStore, MongoStore, StoreOptions
from mongostore.errors import PayloadUnreadable
from mongostore.models import Message
from mongostore.testing import FakeClock

SECRET = "nobody-should-read-this"
MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def collection(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["messages"]


async def test_neither_id_nor_data_is_stored_in_clear(store, collection):
    """Messages of both kinds look alike, and tell nothing."""
    ids = [await store.messages.write(Message(SECRET)), await store.consent_messages.write(Message({SECRET: 1}))]
    for stored in collection.find():
        assert set(stored) == {"_id", "tenant", "purge_at", "payload"}
        for secret in (*ids, SECRET, "consent"):
            assert secret.encode() not in encode(stored)


async def test_a_message_that_was_moved_does_not_open(store, collection):
    """A message opens in its own record only, also when an attacker makes it one of the other kind."""
    first = await store.messages.write(Message("first"))
    (one,) = collection.find()
    second = await store.consent_messages.write(Message("second"))
    collection.update_one({"_id": {"$ne": one["_id"]}}, {"$set": {"payload": one["payload"]}})
    assert (await store.messages.read(first)).data == "first"
    with pytest.raises(PayloadUnreadable):
        await store.consent_messages.read(second)


@pytest.mark.parametrize("backend", ["mongo", "memory"])
async def test_the_lifetime_is_an_option(mongo_uri, prepared_database, backend):
    """`message_lifetime` holds for both kinds, on either store."""
    clock, options = FakeClock(), StoreOptions(message_lifetime=timedelta(minutes=5))
    if backend == "memory":
        opened = MemoryStore(options=options, clock=clock)
    else:
        master_key = LocalMasterKey.generate()
        opened = MongoStore(mongo_uri, database=prepared_database, master_key=master_key, options=options, clock=clock)
    async with opened as store:
        for messages in (store.messages, store.consent_messages):
            id_ = await messages.write(Message("text"))
            clock.advance(timedelta(minutes=5) - MILLISECOND)
            assert await messages.read(id_) is not None
            clock.advance(MILLISECOND)
            assert await messages.read(id_) is None


@pytest.mark.parametrize(("wrong", "error"), [(60, TypeError), (timedelta(0), ValueError), (-MILLISECOND, ValueError)])
def test_a_lifetime_that_is_none_is_refused(wrong, error):
    """The option must be a positive duration, and the message names it."""
    with pytest.raises(error, match="message_lifetime"):
        StoreOptions(message_lifetime=wrong)
