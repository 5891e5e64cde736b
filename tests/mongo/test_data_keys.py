"""Where data keys are kept: one contract for MongoDB and memory, and what becomes of writes whose answer is lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import json_util
from pymongo import MongoClient

from mongostore import LocalMasterKey
from mongostore.errors import StorageUnavailable
from mongostore.memory.data_keys import MemoryDataKeyStore
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.data_keys import MongoDataKeyStore
from mongostore.protection.context import Context
from mongostore.protection.key_ring import KeyRing
from mongostore.protection.protector import SealingProtector, unpack
from mongostore.stores.data_keys import DataKeyRecord, DataKeyStore
from mongostore.testing import EmbeddedMongo, FakeClock

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "key_ring.json").read_text("utf-8"))
RINGS = [pytest.param(VECTOR, id="1"), pytest.param(VECTOR["ring_2"], id="2")]
NOW = datetime(2026, 1, 1, 12, 0, 0, 123_000, tzinfo=UTC)
LIMIT = timedelta(seconds=30)
PLACE = Context("default", "grants", "id", "payload")
ONCE = {"times": 1}


def a_record(generation: int = 1, tenant: str = "default", **values) -> DataKeyRecord:
    return DataKeyRecord(
        **{
            "tenant": tenant,
            "generation": generation,
            "purpose": "data" if generation else "hash",
            "key_id": bytes([generation]) * 16,
            "wrapped": bytes([generation]) * 40,
            "master_key_id": "local:old",
            "created": NOW,
            "activates_at": NOW + timedelta(hours=1),
            "destroyed_at": None,
            **values,
        }
    )


async def mongo_store(uri: str, database: str, limit: timedelta = LIMIT) -> AsyncIterator[MongoDataKeyStore]:
    connection = Connection(uri, operation_timeout=limit, server_selection_timeout=limit)
    await connection.open()
    yield MongoDataKeyStore(Binding(connection, database))
    await connection.close()


@pytest.fixture(params=["memory", "mongo"])
async def keys(request, mongo_uri, database_name) -> AsyncIterator[DataKeyStore]:
    if request.param == "memory":
        yield MemoryDataKeyStore()
    else:
        async for store in mongo_store(mongo_uri, database_name):
            yield store


async def test_what_was_inserted_is_loaded_by_generation(keys):
    """All of a tenant's records come back as they were, in ascending order, and nobody else's."""
    records = [a_record(2), a_record(0), a_record(10), a_record(1)]
    for record in [*records, a_record(1, "acme")]:
        assert await keys.insert(record)
    assert await keys.load("default") == sorted(records, key=lambda record: record.generation)
    assert await keys.load("acme") == [a_record(1, "acme")]
    assert await keys.load("nobody") == []


async def test_one_of_many_inserts_a_generation(keys):
    """Of 20 concurrent inserts of one generation one wins; the losers change nothing."""
    rivals = [a_record(1, key_id=bytes([number]) * 16) for number in range(20)]
    won = await asyncio.gather(*map(keys.insert, rivals))
    assert won.count(True) == 1
    assert await keys.load("default") == [rivals[won.index(True)]]


async def test_tombstone_blocks_its_generation(keys):
    """A destroyed generation can't be inserted anew."""
    await keys.insert(a_record())
    await keys.destroy("default", NOW)
    assert not await keys.insert(a_record(key_id=b"n" * 16))
    assert await keys.load("default") == [a_record(wrapped=None, destroyed_at=NOW)]


async def test_wrapped_key_is_replaced_only_from_what_was_expected(keys):
    """The record that the caller read must still be there; nothing of it changes but how it is wrapped."""
    old = a_record(context_version=1)
    await keys.insert(old)
    new = replace(old, wrapped=b"w" * 48, master_key_id="local:new", opens_only=True, context_version=2)
    for other in ({"master_key_id": "local:x"}, {"key_id": b"o" * 16}, {"wrapped": b"o"}, {"activates_at": NOW}):
        assert not await keys.replace_wrapped(new, replace(old, **other))
    assert not await keys.replace_wrapped(replace(new, tenant="acme"), replace(old, tenant="acme"))
    assert await keys.load("default") == [old]
    assert await keys.replace_wrapped(replace(new, created=NOW - timedelta(days=1)), old)
    assert await keys.load("default") == [new]
    assert not await keys.replace_wrapped(new, old)


async def test_destroyed_key_is_not_brought_back(keys):
    """Replacing the wrapped form of a tombstone changes nothing."""
    await keys.insert(a_record())
    await keys.destroy("default", NOW)
    assert not await keys.replace_wrapped(a_record(master_key_id="local:new"), a_record())
    (tombstone,) = await keys.load("default")
    assert not await keys.replace_wrapped(a_record(master_key_id="local:new"), tombstone)
    assert (await keys.load("default"))[0].wrapped is None


async def test_destroy_counts_what_it_changed(keys):
    """Every live record of the tenant, once; other tenants keep theirs."""
    for record in (a_record(0), a_record(1), a_record(2), a_record(1, "acme")):
        await keys.insert(record)
    assert await keys.destroy("default", NOW) == 3
    assert await keys.destroy("default", NOW + timedelta(days=1)) == 0
    assert {record.destroyed_at for record in await keys.load("default")} == {NOW}
    assert await keys.load("acme") == [a_record(1, "acme")]


async def test_tenants_are_listed_with_their_tombstones(keys):
    """Once each, in ascending order."""
    for record in (a_record(1, "zeta"), a_record(2, "zeta"), a_record(1, "acme")):
        await keys.insert(record)
    await keys.destroy("acme", NOW)
    assert await keys.tenants() == ["acme", "zeta"]


@pytest.fixture
async def on_mongo(mongo_uri, database_name) -> AsyncIterator[MongoDataKeyStore]:
    async for store in mongo_store(mongo_uri, database_name):
        yield store


@pytest.mark.parametrize("vector", RINGS)
async def test_ring_of_the_vectors_opens(on_mongo, mongo_connection, database_name, vector):
    """A ring that any version stored is read for ever: its data key, its key for hashes, its tombstone."""
    mongo_connection[database_name]["data_keys"].insert_many(json_util.loads(json.dumps(vector["documents"])))
    ring = KeyRing(on_mongo, LocalMasterKey.from_text(VECTOR["master_key"]), FakeClock())
    sealed = vector["sealed"]
    context = Context(sealed["tenant"], sealed["collection"], sealed["record_id"], sealed["field"])
    assert unpack(await SealingProtector(ring).open(bytes.fromhex(sealed["envelope"]), context)) == sealed["data"]
    hashed = vector["keyed_hash"]
    found = await ring.for_tenant(sealed["tenant"]).keyed_hash(hashed["purpose"], hashed["value"])
    assert found.hex() == hashed["hash"]
    assert (await ring.for_tenant(vector["destroyed"]).status()).destroyed
    await ring.close()


@pytest.mark.parametrize("vector", RINGS)
async def test_records_are_stored_as_in_the_vectors(on_mongo, mongo_connection, database_name, vector):
    """Names and types of the stored fields are frozen."""
    documents = json_util.loads(json.dumps(vector["documents"]))
    collection = mongo_connection[database_name]["data_keys"]
    collection.insert_many(documents)
    before = list(collection.find({}, sort=[("_id", 1)]))
    records = [record for tenant in await on_mongo.tenants() for record in await on_mongo.load(tenant)]
    collection.delete_many({})
    for record in records:
        assert await on_mongo.insert(record)
    assert list(collection.find({}, sort=[("_id", 1)])) == before


@pytest.mark.parametrize(
    "change",
    [
        {"$unset": {"key_id": ""}},
        {"$unset": {"purpose": "", "created": ""}},
        {"$set": {"key_id": b"short"}},
        {"$set": {"key_id": 5}},
        {"$set": {"wrapped": "text"}},
        {"$set": {"generation": 7}},
        {"$set": {"generation": "1"}},
        {"$set": {"generation": True}},
        {"$set": {"purpose": "other"}},
        {"$set": {"purpose": []}},
        {"$set": {"master_key_id": 5}},
        {"$set": {"created": "now"}},
        {"$set": {"activates_at": {}}},
        {"$set": {"destroyed_at": "never"}},
        {"$set": {"opens_only": "yes"}},
        {"$set": {"context_version": "2"}},
    ],
    ids=str,
)
async def test_damaged_ring_record_keeps_its_generation(on_mongo, mongo_connection, database_name, change):
    """Of what a record has become, only its place in the ring is certain; the others are read."""
    await on_mongo.insert(a_record())
    await on_mongo.insert(a_record(2))
    mongo_connection[database_name]["data_keys"].update_one({"_id": "default|1"}, change)
    damaged, whole = await on_mongo.load("default")
    assert (damaged.generation, damaged.damaged) == (1, True)
    assert whole == a_record(2)


async def test_records_of_other_forms_are_left_out(on_mongo, mongo_connection, database_name, caplog):
    """What never was a key of ours is told by its `_id`; the ring is read beside it."""
    await on_mongo.insert(a_record())
    foreign = ["default|x", "default|01", "default|" + "9" * 5_000, "default|-1", "acme|1", 7]
    mongo_connection[database_name]["data_keys"].insert_many({"_id": each, "tenant": "default"} for each in foreign)
    assert await on_mongo.load("default") == [a_record()]
    assert "default|x" in caplog.text


@pytest.fixture(scope="module")
def faulty_server(mongo_server) -> Iterator[EmbeddedMongo]:
    """A server that fails on demand."""
    if not mongo_server.ours:
        pytest.skip("sets fail points, and the server was not started by the tests")
    with EmbeddedMongo(parameters={"enableTestCommands": "1"}) as server:
        yield server


@pytest.fixture
async def faulty(faulty_server, database_name) -> AsyncIterator[tuple]:
    """A ring on that server, and what makes its next commands fail."""
    with MongoClient(faulty_server.uri) as connection:

        def fail(mode: str | dict, **how) -> None:
            # By name, so that the server's own commands and this fixture's go through.
            data = {"appName": "faulty", **how}
            connection.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)

        # The driver repeats a command for as long as its time lasts, and looks for the server every half second.
        limit = timedelta(milliseconds=1_500)
        async for store in mongo_store(f"{faulty_server.uri}&appName=faulty", database_name, limit):
            ring = KeyRing(store, LocalMasterKey.generate(), FakeClock())
            yield ring, store, fail
            await ring.close()
        fail("off")


async def test_insert_that_a_majority_did_not_confirm_is_read_again(faulty):
    """The key was stored all the same: what is read back seals, and no second one is made."""
    ring, store, fail = faulty
    unconfirmed = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
    fail(ONCE, failCommands=["insert"], writeConcernError=unconfirmed)
    sealed = await SealingProtector(ring).seal(b"x", PLACE)
    assert [record.key_id for record in await store.load("default")] == [sealed.key_id]


async def test_insert_that_did_not_arrive_seals_nothing(faulty):
    """Neither the insert nor a retry gets through: the seal fails, and the next one makes the key."""
    ring, store, fail = faulty
    protector = SealingProtector(ring)
    fail("alwaysOn", failCommands=["insert"], closeConnection=True)
    with pytest.raises(StorageUnavailable):
        await protector.seal(b"x", PLACE)
    fail("off")
    assert await store.load("default") == []
    sealed = await protector.seal(b"x", PLACE)
    assert [record.key_id for record in await store.load("default")] == [sealed.key_id]


async def test_insert_whose_connection_broke_once_makes_one_key(faulty):
    """The driver's own retry is not taken for another node's key."""
    ring, store, fail = faulty
    fail(ONCE, failCommands=["insert"], closeConnection=True)
    sealed = await SealingProtector(ring).seal(b"x", PLACE)
    assert [record.key_id for record in await store.load("default")] == [sealed.key_id]


async def test_key_that_can_not_be_read_back_does_not_seal(faulty):
    """Stored, and then the server answers no more reads: nothing is sealed by a key that nobody has seen stored."""
    ring, store, fail = faulty
    protector = SealingProtector(ring)
    await ring.for_tenant("default").status()

    async def insert_then_fail(record):
        inserted = await MongoDataKeyStore.insert(store, record)
        fail("alwaysOn", failCommands=["find"], closeConnection=True)
        return inserted

    store.insert = insert_then_fail
    with pytest.raises(StorageUnavailable):
        await protector.seal(b"x", PLACE)
    fail("off")
    del store.insert
    sealed = await protector.seal(b"x", PLACE)
    assert [record.key_id for record in await store.load("default")] == [sealed.key_id]


async def test_destroy_whose_answer_was_lost_is_repeated(faulty):
    """It can't be told whether it happened; repeating it gives the same end."""
    ring, store, fail = faulty
    await SealingProtector(ring).seal(b"x", PLACE)
    unconfirmed = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
    fail(ONCE, failCommands=["update"], writeConcernError=unconfirmed)
    with pytest.raises(StorageUnavailable):
        await ring.destroy("default")
    await ring.destroy("default")
    assert [record.wrapped for record in await store.load("default")] == [None]
