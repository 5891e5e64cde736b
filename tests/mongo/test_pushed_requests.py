"""What is particular to pushed authorization requests in MongoDB: hashed references, sealed parameters."""

import pytest
from bson import encode

from mongostore.errors import PayloadUnreadable
from mongostore.testing.factories import a_pushed_request

SECRET = "a-reference-that-was-not-hashed"


@pytest.fixture
def requests(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["pushed_authorization_requests"]


async def test_neither_reference_nor_parameters_are_stored_in_clear(store, requests):
    """Even who passes the reference value itself for its hash finds nothing of it in the database."""
    par = a_pushed_request(SECRET, parameters={"client_secret": [SECRET], SECRET: []})
    await store.pushed_authorization_requests.store(par)
    assert await store.pushed_authorization_requests.consume_by_hash(SECRET) == par
    (stored,) = requests.find()
    assert set(stored) == {"_id", "tenant", "consumed_time", "expiration", "purge_at", "payload"}
    assert SECRET.encode() not in encode(stored)
    assert b"client_secret" not in encode(stored)


async def test_a_consumed_request_is_purged_no_later_than_it_would_have_been(store, requests):
    """Consumption never prolongs a record."""
    par = a_pushed_request()
    await store.pushed_authorization_requests.store(par)
    await store.pushed_authorization_requests.consume_by_hash(par.reference_value_hash)
    (stored,) = requests.find()
    assert stored["purge_at"].replace(tzinfo=par.expires_at_utc.tzinfo) == par.expires_at_utc


async def test_a_request_that_was_moved_does_not_open(store, requests):
    """Parameters open in their own record only."""
    await store.pushed_authorization_requests.store(a_pushed_request("one"))
    (one,) = requests.find()
    await store.pushed_authorization_requests.store(a_pushed_request("two"))
    requests.update_one({"_id": {"$ne": one["_id"]}}, {"$set": {"payload": one["payload"]}})
    assert await store.pushed_authorization_requests.get_by_hash("one") is not None
    with pytest.raises(PayloadUnreadable):
        await store.pushed_authorization_requests.get_by_hash("two")
    with pytest.raises(PayloadUnreadable):
        await store.pushed_authorization_requests.consume_by_hash("two")
