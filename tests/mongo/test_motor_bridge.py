"""A Motor client behind the bridge behaves as PyMongo's own: every test runs through both."""

import asyncio
import warnings
from typing import Any

import pymongo
import pytest
from beanie import Document, init_beanie
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, IndexModel, InsertOne, ReadPreference, WriteConcern
from pymongo.errors import DuplicateKeyError, InvalidOperation, OperationFailure, PyMongoError

from mongostore.mongo.motor_bridge import bridged, is_motor_client


class OwnMotorClient(AsyncIOMotorClient):
    """A server's own subclass."""


@pytest.fixture(params=["pymongo", "motor", "motor subclass"])
async def client(request, mongo_uri):
    if request.param == "pymongo":
        async with AsyncMongoClient(mongo_uri, tz_aware=True) as client:
            yield client
    else:
        motor = (AsyncIOMotorClient if request.param == "motor" else OwnMotorClient)(mongo_uri, tz_aware=True)
        with pytest.warns(DeprecationWarning, match="^Motor is deprecated"):
            client = bridged(motor)
        yield client
        motor.close()


@pytest.fixture
def database(client, database_name):
    return client.get_database(
        database_name, write_concern=WriteConcern(w="majority", j=True), read_preference=ReadPreference.PRIMARY
    )


def test_a_motor_client_is_told_from_everything_else(mongo_uri):
    """Only Motor's asyncio client and its subclasses count; a Motor database, which has every attribute, does not."""
    motor, own = AsyncIOMotorClient(mongo_uri), OwnMotorClient(mongo_uri)
    assert is_motor_client(motor)
    assert is_motor_client(own)
    for other in (motor.db, motor.db.coll, AsyncMongoClient(mongo_uri), mongo_uri, None, object(), AsyncIOMotorClient):
        assert not is_motor_client(other)
    motor.close()
    own.close()


def test_the_warning_names_the_way_out_and_points_at_the_server(mongo_uri):
    """One DeprecationWarning, at the line that made the store, saying what to pass instead."""
    motor = AsyncIOMotorClient(mongo_uri)

    def connection():
        return bridged(motor)

    def store():
        return connection()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store()
    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert "pass a pymongo.AsyncMongoClient" in str(warning.message)
    assert warning.filename == __file__
    motor.close()


async def test_closing_the_bridge_leaves_the_clients_pool_open(mongo_uri):
    """The pool is the caller's: it serves on after close()."""
    motor = AsyncIOMotorClient(mongo_uri)
    with pytest.warns(DeprecationWarning, match="Motor"):
        await bridged(motor).close()
    assert (await motor.admin.command("ping"))["ok"] == 1
    motor.close()


async def test_options_names_and_parents(client, database, database_name):
    """Databases and collections know their options, names and parents, and come by every spelling."""
    collection = database["things"]
    assert (database.name, collection.name, collection.full_name) == (
        database_name,
        "things",
        f"{database_name}.things",
    )
    assert collection.write_concern == WriteConcern(w="majority", j=True)
    assert collection.read_preference == ReadPreference.PRIMARY
    assert collection.codec_options.tz_aware
    assert collection.with_options(write_concern=WriteConcern(w=1)).write_concern == WriteConcern(w=1)
    assert database.with_options(write_concern=WriteConcern(w=1)).things.write_concern == WriteConcern(w=1)
    assert collection.database.name == database.get_collection("things").database.name == database_name
    assert client[database_name].things.sub.full_name == f"{database_name}.things.sub"
    assert (await collection.database.client.admin.command("ping"))["ok"] == 1
    assert client.topology_description.server_descriptions()
    with pytest.raises(AttributeError):
        _ = collection._private
    with pytest.raises(AttributeError):
        _ = client._private


async def test_records(database):
    """Inserts, updates, deletes, bulk writes and counts give the driver's own results."""
    collection = await database.create_collection("things")
    assert await database.list_collection_names() == ["things"]
    assert [each["name"] async for each in await database.list_collections()] == ["things"]
    assert (await collection.insert_one({"_id": 1, "n": 1})).inserted_id == 1
    with pytest.raises(DuplicateKeyError):
        await collection.insert_one({"_id": 1})
    assert (await collection.insert_many([{"_id": n, "n": n} for n in (2, 3)])).inserted_ids == [2, 3]
    assert (await collection.update_one({"_id": 3}, [{"$set": {"n": {"$add": ["$n", 10]}}}])).modified_count == 1
    assert await collection.find_one_and_update({"_id": 3}, {"$set": {"n": 4}}) == {"_id": 3, "n": 13}
    assert (await collection.bulk_write([InsertOne({"_id": 5}), InsertOne({"_id": 6})])).inserted_count == 2
    assert await collection.count_documents({}) == 5
    assert sorted(await collection.distinct("n")) == [1, 2, 4]
    assert (await collection.delete_many({"_id": {"$gt": 4}})).deleted_count == 2
    assert await asyncio.create_task(collection.find_one({"_id": 2})) == {"_id": 2, "n": 2}
    await database.drop_collection(collection)
    assert await database.list_collection_names() == []


async def test_cursors(database):
    """A find can be sorted, limited, iterated, listed and closed."""
    await database.things.insert_many([{"_id": n} for n in range(5)])
    assert [each["_id"] async for each in database.things.find().sort("_id", -1).batch_size(2)] == [4, 3, 2, 1, 0]
    assert await database.things.find().sort("_id").skip(1).limit(2).to_list() == [{"_id": 1}, {"_id": 2}]
    async with database.things.find().batch_size(1) as cursor:
        assert len(await cursor.to_list(2)) == 2
    assert not cursor.alive


async def test_aggregate_and_list_indexes_are_awaited(database):
    """Their cursors come from an await, and what is wrong is raised by that await."""
    await database.things.insert_many([{"_id": n, "n": n % 2} for n in range(300)])
    cursor = await database.things.aggregate([{"$group": {"_id": "$n", "all": {"$sum": 1}}}, {"$sort": {"_id": 1}}])
    assert await cursor.to_list() == [{"_id": 0, "all": 150}, {"_id": 1, "all": 150}]
    assert len([each async for each in await database.things.aggregate([{"$match": {}}])]) == 300
    async with await database.things.aggregate([{"$sort": {"_id": 1}}], batchSize=2) as cursor:
        assert await cursor.to_list(1) == [{"_id": 0, "n": 0}]
        assert await cursor.next() == {"_id": 1, "n": 1}
        assert [each["_id"] for each in await cursor.to_list(3)] == [2, 3, 4]
        assert cursor.alive
        assert await cursor.try_next() == {"_id": 5, "n": 1}
    assert await (await database.things.aggregate([{"$match": {"n": 7}}])).to_list() == []
    batches = [each async for each in await database.things.aggregate_raw_batches([{"$match": {"_id": 3}}])]
    assert b"".join(batches)
    with pytest.raises(OperationFailure):
        await database.things.aggregate([{"$nonsense": {}}])
    await database.things.create_indexes([IndexModel([("n", 1)], name="by_n")])
    assert [each["name"] async for each in await database.things.list_indexes()] == ["_id_", "by_n"]
    assert await (await database.none.list_indexes()).to_list() == []
    operations = await database.client.admin.aggregate([{"$currentOp": {}}])
    assert "opid" in (await operations.to_list())[0]


async def test_an_aggregation_that_writes_writes_without_being_read(database):
    """`$merge` has run when the await is over."""
    await database.things.insert_one({"_id": 1})
    await database.things.aggregate([{"$merge": "copies"}])
    assert await database.copies.count_documents({}) == 1


async def test_watch_sees_every_change_since_its_await(database):
    """A change stream is open once its await is over: nothing in between is missed."""
    await database.things.insert_one({"_id": 0})
    stream = await database.things.watch([{"$match": {"operationType": "insert"}}], max_await_time_ms=200)
    await database.things.insert_one({"_id": 1})
    async with stream:
        assert (await stream.next())["documentKey"] == {"_id": 1}
        await database.things.insert_one({"_id": 2})
        async for change in stream:
            assert change["documentKey"] == {"_id": 2}
            break
        assert await stream.try_next() is None
    async with await database.watch(resume_after=stream.resume_token) as resumed:
        await database.others.insert_one({"_id": 3})
        assert (await resumed.next())["ns"]["coll"] == "others"
    async with await database.client.watch(max_await_time_ms=10) as everywhere:
        assert await everywhere.try_next() is None


async def test_transactions(client, database):
    """A transaction commits, rolls back, and is retried by with_transaction."""
    things = await database.create_collection("things")
    async with client.start_session() as session:
        async with await session.start_transaction():
            await things.insert_one({"_id": 1}, session=session)
            assert await things.count_documents({}) == 0
            assert session.in_transaction
        assert await things.count_documents({}) == 1

        async def abandon():
            async with await session.start_transaction():
                await things.insert_one({"_id": 2}, session=session)
                raise LookupError

        with pytest.raises(LookupError):
            await abandon()
        assert await things.count_documents({}) == 1

        async def body(given):
            assert given is session
            await things.insert_one({"_id": 3}, session=given)
            cursor = await things.aggregate([{"$count": "all"}], session=given)
            return await cursor.to_list()

        assert await session.with_transaction(body, write_concern=WriteConcern("majority")) == [{"all": 2}]
    assert session.has_ended


async def test_a_session_that_is_left_ends_its_transaction(client, database):
    """Leaving the block aborts what was not committed."""
    things = await database.create_collection("things")
    async with client.start_session() as session:
        await session.start_transaction()
        await things.insert_one({"_id": 1}, session=session)
    assert await things.count_documents({}) == 0


async def test_a_session_outside_async_with_is_refused(mongo_uri):
    """Motor makes a session in a coroutine only, so the bridge says where to use it."""
    motor = AsyncIOMotorClient(mongo_uri)
    with pytest.warns(DeprecationWarning, match="Motor"):
        client = bridged(motor)
    with pytest.raises(InvalidOperation, match="async with"):
        client.db.things.find({}, session=client.start_session())
    motor.close()


async def test_the_drivers_time_limit_holds(database):
    """pymongo.timeout ends an operation that takes too long."""
    await database.things.insert_one({})
    with pytest.raises(PyMongoError) as raised, pymongo.timeout(0.2):
        await database.things.find_one({"$where": "sleep(2000) || true"})
    assert raised.value.timeout


async def test_beanie_works_on_the_database(database):
    """init_beanie takes the bridge: inserts, finds, aggregates, bulk and index creation."""

    class Thing(Document):
        n: int

        class Settings:
            name = "things"
            indexes: Any = [IndexModel([("n", 1)], name="by_n")]  # noqa: RUF012 - as Beanie wants it

    await init_beanie(database=database, document_models=[Thing])
    await Thing(n=1).insert()
    await Thing.insert_many([Thing(n=2), Thing(n=3)])
    assert await Thing.find(Thing.n > 1).count() == 2
    assert await Thing.find_all().sum("n") == 6
    thing = await Thing.find_one(Thing.n == 3)
    thing.n = 4
    await thing.replace()
    await thing.set({"n": 5})
    assert (await Thing.get(thing.id)).n == 5
    assert await Thing.find_all().aggregate([{"$group": {"_id": None, "top": {"$max": "$n"}}}]).to_list() == [
        {"_id": None, "top": 5}
    ]
    async with database.client.start_session() as session, await session.start_transaction():
        await Thing(n=6).insert(session=session)
    assert await Thing.count() == 4
    assert set(await Thing.get_pymongo_collection().index_information()) == {"_id_", "by_n"}
    await Thing.find(Thing.n < 3).delete()
    assert await Thing.count() == 2
