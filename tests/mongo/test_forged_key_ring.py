"""Raw writes to the key ring's collection, by somebody who has no key, or a former master key; and what they can't do."""

from base64 import urlsafe_b64encode
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import Binary
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from mongostore import LocalMasterKey, MasterKeyChain, MongoStore
from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models import SessionQuery
from mongostore.protection.master_keys import MasterKey
from mongostore.protection.wrapped_keys import new_record, unwrap, wrapping_context
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_grant, a_session

pytestmark = pytest.mark.filterwarnings("ignore:the schema of database")

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FUTURE = FakeClock().now() + 1_000 * DAY


class RingReads(CommandListener):
    """Counts how often the ring is read."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: Any) -> None:
        self.count += event.command_name == "find" and event.command["find"] == "data_keys"

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def master_key():
    return LocalMasterKey.generate()


@pytest.fixture
def keys(mongo_connection, database_name):
    """The ring's collection, behind the stores' back."""
    return mongo_connection[database_name]["data_keys"]


@pytest.fixture
def grants(mongo_connection, database_name):
    return mongo_connection[database_name]["grants"]


@pytest.fixture
async def new_node(mongo_uri, database_name, master_key, clock):
    """Open another store on the same database, as another node would; all are closed at the end."""
    async with AsyncExitStack() as opened:

        async def open_node(by: MasterKey = master_key, connection: object = mongo_uri) -> MongoStore:
            return await opened.enter_async_context(
                MongoStore(connection, database=database_name, master_key=by, clock=clock)
            )

        yield open_node


@pytest.fixture
def seal(grants, clock):
    """Have a store seal something; the id of the key that did."""

    async def by(store, key="A"):
        await store.persisted_grants.store(a_grant(key, expiration=clock.now() + 1_000 * DAY))
        return grants.find_one({"_id": f"default|{key}"})["payload"][1:17].hex()

    return by


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"activates_at": FUTURE}},
        {"$set": {"created": FUTURE}},
        {"$set": {"activates_at": FUTURE, "created": FUTURE, "context_version": 1}},
        {"$set": {"activates_at": FUTURE}, "$unset": {"context_version": ""}},
        {"$set": {"purpose": "hash"}},
        {"$set": {"generation": 0}},
        {"$set": {"opens_only": True}},
        {"$set": {"wrapped": Binary(bytes(40))}},
        {"$set": {"wrapped": "text"}},
        {"$set": {"master_key_id": "local:0000000000000000"}},
        {"$unset": {"key_id": ""}},
        {"$unset": {"activates_at": ""}},
    ],
    # By their names: the values lie ahead of the moment at which the tests are collected.
    ids=lambda change: ", ".join(f"{operator} {' '.join(fields)}" for operator, fields in change.items()),
)
async def test_one_write_brings_no_retired_key_back(new_node, seal, keys, clock, change):
    """The key of before a rotation may have leaked: a write to the record of the one after it has no node seal by that
    again, and the write is told; what other keys sealed is read."""
    node = await new_node()
    leaked = await seal(node, "old")
    await node.key_ring.rotate()
    retired = {leaked, await seal(node, "new")}
    keys.update_one({"_id": "default|2"}, change)
    clock.advance(MINUTE)
    if "master_key_id" in change.get("$set", {}):
        with pytest.raises(KeyUnavailable, match="MasterKeyChain"):
            await seal(node, "B")
        with pytest.raises(KeyUnavailable):
            await new_node()
    else:
        assert await seal(node, "B") not in retired
        assert await seal(await new_node(), "C") not in retired
        assert keys.count_documents({}) == 3
        with pytest.raises(KeyUnavailable):
            await node.persisted_grants.get("new")
    assert (await node.persisted_grants.get("old")).data == "payload"


async def test_garbage_under_the_id_of_a_known_key_is_not_believed(new_node, seal, keys, clock):
    """A record of a new generation that names the retired key, which every node has in memory: it seals nothing."""
    node = await new_node()
    retired = {await seal(node, "old")}
    await node.key_ring.rotate()
    retired.add(await seal(node, "new"))
    first = keys.find_one({"_id": "default|1"})
    forged = {**first, "_id": "default|9", "generation": 9}
    keys.insert_many([forged, {**forged, "_id": "default|10", "generation": 10, "wrapped": Binary(bytes(40))}])
    # Under another `_id` it would be the same key twice.
    keys.insert_one({**first, "_id": "default|forged"})
    clock.advance(MINUTE)
    for each in (node, await new_node()):
        assert await seal(each, "B") not in retired
        assert (await each.persisted_grants.get("old")).data == "payload"
        assert (await each.persisted_grants.get("new")).data == "payload"
    assert keys.count_documents({"generation": {"$gt": 10}}) == 1


async def test_a_key_slipped_in_by_a_leaked_master_key_never_seals(new_node, seal, keys, clock, master_key):
    """Not while the master key is being replaced, and not after `rewrap`, which marks it and all others of that time."""
    await seal(await new_node(), "old")
    new = LocalMasterKey.generate()
    chained = await new_node(MasterKeyChain(new, master_key))
    own = await seal(chained, "new")
    now = clock.now()
    slipped = await new_record(
        master_key, tenant="default", generation=9, purpose="data", created=now, activates_at=now - DAY
    )
    first = keys.find_one({"_id": "default|1"})
    fields = {"generation": 9, "created": now, "activates_at": now - DAY}
    keys.insert_one(
        {**first, **fields, "_id": "default|9", "key_id": Binary(slipped.key_id), "wrapped": Binary(slipped.wrapped)}
    )
    clock.advance(MINUTE)
    assert await seal(chained, "B") == own
    assert await chained.key_ring.rewrap() == 2
    assert await chained.key_ring.rewrap() == 0
    assert [each["generation"] for each in keys.find({"opens_only": True}).sort("generation")] == [1, 9]
    alone = await new_node(new)
    assert await seal(alone, "C") == own
    assert (await alone.persisted_grants.get("old")).data == "payload"
    keys.update_many({}, {"$unset": {"opens_only": ""}})
    assert await seal(await new_node(new), "D") not in {own, slipped.key_id.hex(), bytes(first["key_id"]).hex()}


async def test_nodes_read_one_another_while_the_master_key_is_replaced(new_node, seal, clock, master_key):
    """In the two steps of the documentation, no write of any node is ever unreadable to another."""
    new = LocalMasterKey.generate()
    alone = await new_node()
    await seal(alone, "alone")
    before = await new_node(MasterKeyChain(master_key, new))
    await seal(before, "before")
    assert (await alone.persisted_grants.get("before")).data == "payload"
    after = await new_node(MasterKeyChain(new, master_key))
    for number in range(3):
        for writer, reader in ((before, after), (after, before)):
            await seal(writer, f"{number}")
            assert (await reader.persisted_grants.get(f"{number}")).data == "payload"
        clock.advance(MINUTE)
    assert len((await after.key_ring.status()).keys) == 2
    assert await after.key_ring.rewrap() == 1
    last = await new_node(new)
    for name in ("alone", "before", "2"):
        assert (await last.persisted_grants.get(name)).data == "payload"


async def test_keys_of_a_former_version_are_bound_by_rewrap(new_node, seal, keys, clock, master_key):
    """They open and seal as they are; after it, no write to their times is believed."""
    node = await new_node()
    await seal(node, "old")
    await node.key_ring.rotate()
    ring = node._key_ring
    for record in await ring._store.load("default"):
        former = wrapping_context(replace(record, context_version=1))
        wrapped = await master_key.wrap(await unwrap(master_key, record), former)
        change = {"$set": {"wrapped": Binary(wrapped)}, "$unset": {"context_version": ""}}
        keys.update_one({"_id": f"default|{record.generation}"}, change)
    upgraded = await new_node()
    second = await seal(upgraded, "new")
    assert second == bytes(keys.find_one({"_id": "default|2"})["key_id"]).hex()
    assert await upgraded.key_ring.rewrap() == 2
    assert await upgraded.key_ring.rewrap() == 0
    assert keys.count_documents({"context_version": 2}) == 2
    keys.update_one({"_id": "default|2"}, {"$set": {"activates_at": FUTURE}})
    assert await seal(await new_node(), "B") not in {second, bytes(keys.find_one({"_id": "default|1"})["key_id"]).hex()}


async def test_a_destroyed_ring_is_not_revived_by_its_wrapped_keys(new_node, seal, keys, clock):
    """Who puts them back from a backup, and leaves the tombstones' marks, revives nothing."""
    node = await new_node()
    await seal(node)
    await node.key_ring.rotate()
    before = list(keys.find())
    await node.key_ring.destroy("default")
    for record in before:
        keys.update_one({"_id": record["_id"]}, {"$set": {"wrapped": record["wrapped"]}})
    clock.advance(MINUTE)
    for each in (node, await new_node()):
        with pytest.raises(KeyUnavailable, match="were destroyed"):
            await each.persisted_grants.get("A")
        with pytest.raises(KeyUnavailable, match="were destroyed"):
            await seal(each, "B")
    assert keys.count_documents({}) == 2


async def test_made_up_paging_tokens_cost_no_read_of_the_ring(new_node, mongo_uri, grants):
    """Each is answered with the first page; a real one goes on."""
    reads = RingReads()
    async with AsyncMongoClient(mongo_uri, event_listeners=[reads]) as connection:
        node = await new_node(connection=connection)
        for number in range(3):
            await node.server_side_sessions.create_session(a_session(f"key {number}"))
        first = await node.server_side_sessions.query_sessions(SessionQuery(count_requested=1))
        reads.count = 0
        for number in range(50):
            made_up = _token(b"\x01" + number.to_bytes(16, "big") + bytes(60))
            page = await node.server_side_sessions.query_sessions(
                SessionQuery(count_requested=1, results_token=made_up)
            )
            assert page.results == first.results
        second = await node.server_side_sessions.query_sessions(
            SessionQuery(count_requested=1, results_token=first.results_token)
        )
        assert second.results != first.results
        assert reads.count == 0
        await node.close()


async def test_made_up_payloads_cost_few_reads_of_the_ring(new_node, seal, mongo_uri, grants):
    """Fifty records that name fifty keys: five looks for them, and a key that another node has just made is found."""
    other = await new_node()
    reads = RingReads()
    async with AsyncMongoClient(mongo_uri, event_listeners=[reads]) as connection:
        node = await new_node(connection=connection)
        await seal(node)
        record = grants.find_one()
        for number in range(50):
            payload = b"\x01" + number.to_bytes(16, "big") + record["payload"][17:]
            grants.insert_one({**record, "_id": f"default|{number}", "payload": Binary(payload)})
        reads.count = 0
        await other.key_ring.rotate()
        await seal(other, "B")
        assert (await node.persisted_grants.get("B")).data == "payload"
        assert reads.count == 1
        for number in range(50):
            with pytest.raises((KeyUnavailable, PayloadUnreadable)):
                await node.persisted_grants.get(str(number))
        assert reads.count == 1 + 5
        await node.close()


def _token(envelope):
    return urlsafe_b64encode(envelope).decode().rstrip("=")
