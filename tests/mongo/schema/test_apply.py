"""Plan, apply and check on a real server, for every way in which a database can have drifted."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import IndexModel, MongoClient
from pymongo.errors import OperationFailure

from mongostore.errors import ConfigurationError, StorageUnavailable
from mongostore.mongo.binding import Binding
from mongostore.mongo.connection import Connection
from mongostore.mongo.documents import DOCUMENTS
from mongostore.mongo.documents.grants import GrantFields
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.leases import Leases
from mongostore.protection.envelope import assemble
from mongostore.schema import Drift, apply_schema, check_schema, plan_schema
from mongostore.schema.desired import desired_collections
from mongostore.testing import EmbeddedMongo
from mongostore.testing.embedded import find_mongod

LIMIT = timedelta(seconds=30)
ENVELOPE = bytes(assemble(b"k" * 16, b"n" * 24, b"t" * 16))
BY_SUBJECT = [("tenant", 1), ("subject_id", 1), ("client_id", 1), ("type", 1), ("session_id", 1)]


def grant(number=0):
    return {
        "_id": f"default|{number}",
        "tenant": "default",
        "type": "refresh_token",
        "subject_id": f"subject {number % 1000}",
        "client_id": f"client {number % 7}",
        "session_id": f"session {number}",
        "payload": ENVELOPE,
    }


def told(changes):
    return [(each.kind, each.collection, each.index) for each in changes]


@pytest.fixture
async def grants(binding, database):
    """The grants of a database that is as it should be."""
    await apply_schema(binding)
    return database.grants


async def test_an_empty_database_gets_everything(binding, database):
    """Every collection with its validator and indexes; then the plan is empty, and applying again does nothing."""
    before = (await plan_schema(binding)).changes
    assert {each.kind for each in before} == {Drift.MISSING_COLLECTION, Drift.MISSING_INDEX}
    assert database.list_collection_names() == []
    applied = await apply_schema(binding)
    assert applied.left == ()
    for desired in desired_collections():
        assert set(database[desired.name].index_information()) == {"_id_", *desired.indexes}
        options = database[desired.name].options()
        assert options["validator"] == desired.validator
        assert (options["validationLevel"], options["validationAction"]) == ("strict", "error")
    assert (await plan_schema(binding)).changes == ()
    assert await check_schema(binding) == ()
    again = await apply_schema(binding)
    assert (again.done, again.left) == ((), ())


async def test_a_prefix_makes_collections_of_its_own(connection, database_name, database, grants):
    """Under a prefix everything is missing again, and is made beside the rest."""
    prefixed = Binding(connection, database_name, "idp_")
    assert len((await plan_schema(prefixed)).changes) > len(DOCUMENTS)
    await apply_schema(prefixed)
    names = {fields.label for fields in DOCUMENTS}
    assert set(database.list_collection_names()) == names | {f"idp_{name}" for name in names}


async def test_through_a_motor_client(mongo_uri, database_name):
    """A server that still holds a Motor client can hand it in for this, too."""
    motor = AsyncIOMotorClient(mongo_uri)
    with pytest.warns(DeprecationWarning, match="Motor"):
        connection = Connection(motor, operation_timeout=LIMIT, server_selection_timeout=LIMIT)
    await connection.open()
    binding = Binding(connection, database_name)
    seen = []
    assert (await apply_schema(binding, on_progress=seen.append)).left == ()
    assert seen
    assert await check_schema(binding) == ()
    motor.close()


async def test_a_missing_collection_and_a_missing_index(binding, database, grants):
    """What was dropped is found missing, and made again."""
    grants.drop_index("by_subject")
    database.revisions.drop()
    expected = [
        (Drift.MISSING_INDEX, "grants", "by_subject"),
        (Drift.MISSING_COLLECTION, "revisions", None),
    ]
    assert sorted(told(await check_schema(binding))) == sorted(expected)
    assert sorted(told((await apply_schema(binding)).done)) == sorted(expected)
    assert await check_schema(binding) == ()


async def test_a_changed_index_is_built_anew(binding, grants):
    """An index of ours with other keys or options is replaced."""
    grants.drop_indexes()
    grants.create_index([("subject_id", 1)], name="by_subject", unique=True)
    applied = await apply_schema(binding)
    assert (Drift.CHANGED_INDEX, "grants", "by_subject") in told(applied.done)
    assert grants.index_information()["by_subject"]["key"] == BY_SUBJECT
    assert "unique" not in grants.index_information()["by_subject"]
    assert await check_schema(binding) == ()


@pytest.mark.parametrize("options", [{"expireAfterSeconds": 1_000_000}, {}], ids=["another", "none"])
async def test_a_changed_time_to_live_is_changed_in_place(binding, grants, options):
    """collMod: the index is never dropped, and the documents stay."""
    grants.drop_index("expiry")
    grants.create_index("purge_at", name="expiry", **options)
    grants.insert_one(grant() | {"purge_at": datetime.now(UTC) + timedelta(hours=1)})
    applied = await apply_schema(binding)
    assert told(applied.done) == [(Drift.CHANGED_TTL, "grants", "expiry")]
    assert grants.index_information()["expiry"]["expireAfterSeconds"] == 0
    assert grants.count_documents({}) == 1
    assert await check_schema(binding) == ()


async def test_a_time_to_live_where_none_belongs_is_removed(binding, grants):
    """An index that would make MongoDB delete records is replaced by one that does not."""
    grants.drop_index("by_client")
    grants.create_index("creation_time", name="by_client", expireAfterSeconds=1_000_000)
    await apply_schema(binding)
    assert "expireAfterSeconds" not in grants.index_information()["by_client"]


async def test_foreign_indexes_are_kept(binding, grants):
    """What an operator made is told, allowed when asked for, and dropped only when told to."""
    grants.create_index("description", name="of the operator")
    foreign = [(Drift.FOREIGN_INDEX, "grants", "of the operator")]
    assert told(await check_schema(binding)) == foreign
    assert await check_schema(binding, allow_foreign=True) == ()
    applied = await apply_schema(binding)
    assert (applied.done, told(applied.left)) == ((), foreign)
    assert "of the operator" in grants.index_information()
    applied = await apply_schema(binding, drop_foreign=True)
    assert (told(applied.done), applied.left) == (foreign, ())
    assert "of the operator" not in grants.index_information()


async def test_an_index_that_is_in_the_way(binding, grants):
    """The same keys under another name: left and told, everything else done; with drop_foreign, replaced by ours."""
    grants.drop_indexes()
    grants.create_index(BY_SUBJECT, name="of the operator")
    applied = await apply_schema(binding)
    assert told(applied.left) == [(Drift.CONFLICTING_INDEX, "grants", "of the operator")]
    assert set(grants.index_information()) == {"_id_", *desired_indexes()} - {"by_subject"} | {"of the operator"}
    assert told(await check_schema(binding, allow_foreign=True)) == told(applied.left)
    assert (await apply_schema(binding, drop_foreign=True)).left == ()
    assert set(grants.index_information()) == {"_id_", *desired_indexes()}


def desired_indexes():
    return [each.document["name"] for each in GrantFields.indexes]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"validator": {}}, Drift.MISSING_VALIDATOR),
        ({"validator": {"tenant": {"$type": "string"}}}, Drift.CHANGED_VALIDATOR),
        ({"validationLevel": "off"}, Drift.CHANGED_VALIDATOR),
        ({"validationAction": "warn"}, Drift.CHANGED_VALIDATOR),
    ],
)
async def test_a_weakened_validator_is_set_again(binding, database, grants, change, kind):
    """Documents and indexes stay; from then on the database refuses again."""
    database.command("collMod", "grants", **change)
    grants.insert_one(grant() | {"payload": "plaintext"})
    indexes = grants.index_information()
    assert told((await apply_schema(binding)).done) == [(kind, "grants", None)]
    assert await check_schema(binding) == ()
    assert (grants.count_documents({}), grants.index_information()) == (1, indexes)
    with pytest.raises(OperationFailure):
        grants.insert_one(grant(1) | {"payload": "plaintext"})


async def test_collections_that_can_not_be_used_are_left(binding, database):
    """A view, a collation and a capped collection are told with what to do, and the rest is done."""
    database.create_collection("clients", capped=True, size=4096)
    database.create_collection("grants", collation={"locale": "en", "strength": 1})
    database.create_collection("scopes", viewOn="grants")
    applied = await apply_schema(binding, drop_foreign=True)
    assert told(applied.left) == [
        (Drift.UNUSABLE_COLLECTION, name, None) for name in (each.name for each in desired_collections())
        if name in {"clients", "grants", "scopes"}
    ]  # fmt: skip
    assert "byte for byte" in next(each.detail for each in applied.left if each.collection == "grants")
    assert database.leases.options()["validator"]


async def test_a_store_that_runs_already(binding, database):
    """A collection that writes made, without a schema, gets its validator and indexes; its documents stay."""
    database.grants.insert_one(grant())
    applied = await apply_schema(binding)
    assert (Drift.MISSING_VALIDATOR, "grants", None) in told(applied.done)
    assert await check_schema(binding) == ()
    assert database.grants.find_one() == grant()


async def test_duplicates_in_the_way_of_a_unique_index(binding, database, monkeypatch):
    """The error says what to do, and shows none of the records' values."""
    unique = (IndexModel([("subject_id", 1)], name="by_subject", unique=True),)
    monkeypatch.setattr(GrantFields, "indexes", unique)
    database.grants.insert_many([grant(1), grant(1001)])
    with pytest.raises(ConfigurationError, match=r"by_subject of grants.*duplicates") as raised:
        await apply_schema(binding)
    assert "subject 1" not in str(raised.value)
    database.grants.delete_one({"_id": "default|1"})
    assert (await apply_schema(binding)).left == ()


async def test_two_applies_at_once(connection, database_name):
    """One makes everything, the other waits and finds nothing left to do."""
    results = await asyncio.gather(*(apply_schema(Binding(connection, database_name)) for _ in range(3)))
    assert [each.left for each in results] == [()] * 3
    assert sum(1 for each in results if each.done) == 1


async def test_an_apply_waits_for_another_one(binding, database):
    """While another one runs, it says so and writes nothing; if that takes too long, it gives up with an error."""
    steps = set()
    other = await Leases(binding).acquire(f"schema of {binding.database_name}", timedelta(minutes=1))
    with pytest.raises(StorageUnavailable, match="'schema of "):
        await apply_schema(
            binding, on_progress=lambda progress: steps.add(progress.step), wait=timedelta(milliseconds=300)
        )
    assert steps == {"wait for another apply to finish"}
    assert database.list_collection_names() == [LeaseFields.label]
    await other.release()
    assert (await apply_schema(binding)).left == ()


async def test_a_store_that_is_first_is_no_error(binding, database, monkeypatch):
    """A collection that comes into being between plan and apply is taken as it is, and completed."""
    plan = await plan_schema(binding)
    database.grants.insert_one(grant())
    planned = [plan, None]

    async def late(of):
        return planned.pop(0) if planned[0] else await plan_schema(of)

    monkeypatch.setattr("mongostore.schema.apply.plan_schema", late)
    applied = await apply_schema(binding)
    assert applied.left == ()
    assert database.grants.options()["validator"]


async def test_a_hundred_thousand_records(binding, database, monkeypatch):
    """Progress is told while their indexes are built: how many records of how many."""
    monkeypatch.setattr("mongostore.schema.progress._INTERVAL_SECONDS", 0.02)  # so few are done within the usual one
    await watch_a_build(binding, database, 100_000)


@pytest.mark.slow
async def test_a_million_records(binding, database):
    """The same with a million."""
    await watch_a_build(binding, database, 1_000_000)


async def watch_a_build(binding, database, records):
    for start in range(0, records, 20_000):
        database.grants.insert_many([grant(number) for number in range(start, start + 20_000)], ordered=False)
    seen = []
    await apply_schema(binding, on_progress=seen.append)
    build = [each for each in seen if each.step.endswith("of grants")]
    assert build[0].elapsed == timedelta(0)
    assert "by_subject" in build[0].step
    counted = [each for each in build if each.total is not None]
    assert counted, "it took long enough for MongoDB to tell how far it is"
    assert {each.total for each in counted} == {records}
    assert all(0 <= each.done <= records for each in counted)
    assert [each.elapsed for each in build] == sorted(each.elapsed for each in build)
    assert await check_schema(binding) == ()


async def test_a_build_outlasts_the_operation_time_out(database_name):
    """However long an index build takes, the limit of ordinary operations does not end it."""
    try:
        find_mongod()
    except ConfigurationError as error:
        pytest.skip(str(error))
    limit = timedelta(seconds=2.5)
    with EmbeddedMongo(parameters={"enableTestCommands": "1"}) as server, MongoClient(server.uri) as operator:
        operator[database_name].grants.insert_many([grant(number) for number in range(10)])

        def hang(mode):
            operator.admin.command("configureFailPoint", "hangAfterStartingIndexBuild", mode=mode)

        def continue_in_time(progress):
            seen.append(progress)
            if progress.elapsed > 1.2 * limit:
                hang("off")

        seen = []
        hang("alwaysOn")
        connection = Connection(server.uri, operation_timeout=limit, server_selection_timeout=limit)
        await connection.open()
        binding = Binding(connection, database_name)
        await apply_schema(binding, on_progress=continue_in_time)
        assert max(each.elapsed for each in seen) > 1.2 * limit
        assert await check_schema(binding) == ()
        await connection.close()


async def test_an_error_in_the_callback_comes_out(binding):
    """What the caller's callback raises is the caller's, and the lease is free again."""

    def broken(_):
        raise LookupError

    with pytest.raises(LookupError):
        await apply_schema(binding, on_progress=broken)
    assert await Leases(binding).acquire(f"schema of {binding.database_name}", timedelta(seconds=1))
