"""What is particular to signing keys in MongoDB: what lies there, what can't be read, and what several nodes do."""

import asyncio
import json
from base64 import urlsafe_b64decode
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from bson import Binary, encode
from pymongo.errors import WriteError

from mongostore import LocalMasterKey, MongoStore
from mongostore.errors import KeyUnavailable, PayloadUnreadable
from mongostore.models.base import to_payload
from mongostore.mongo.documents.signing_keys import TOMBSTONE_LIFETIME
from mongostore.options import StoreOptions
from mongostore.protection.context import Context
from mongostore.signing.key_material import generate, serialize
from mongostore.signing.options import RSA_ALGORITHMS, SigningOptions
from mongostore.signing.policy import MAX_UNREADABLE_KEYS
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_serialized_key

DAY = timedelta(days=1)
MASTER_KEY = LocalMasterKey.generate()
LONG_AGO = dict.fromkeys(("created", "stored"), datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
async def open_node(mongo_uri, prepared_database, clock):
    """Opens nodes of one server: stores with connections of their own over one database and one clock."""
    async with AsyncExitStack() as stack:

        async def opened(algorithms=("ES256",), master_key=MASTER_KEY, own_clock=clock, **signing):
            options = StoreOptions(signing=SigningOptions(signing_algorithms=algorithms, **signing))
            store = MongoStore(
                mongo_uri, database=prepared_database, master_key=master_key, options=options, clock=own_clock
            )
            return await stack.enter_async_context(store)

        yield opened


@pytest.fixture
async def node(open_node):
    return await open_node()


@pytest.fixture
def collection(mongo_connection, prepared_database):
    """What is stored, behind the stores' back."""
    return mongo_connection[prepared_database]["signing_keys"]


async def test_private_numbers_are_nowhere_in_the_database(open_node, mongo_connection, prepared_database):
    """No document and no write that was replicated has a private number of any key, in base64url, hex or bytes."""
    node = await open_node((*RSA_ALGORITHMS[:1], "ES256"), certificate_algorithms=["RS256"])
    await node.signing.jwks()
    await node.signing.rotate()
    secrets = []
    for key in await node.signing_keys.load_keys():
        jwk = json.loads(key.data)
        secrets += [jwk[name] for name in ("d", "p", "q", "dp", "dq", "qi") if name in jwk]
    assert len(secrets) == 2 * 6 + 1
    database = mongo_connection[prepared_database]
    written = [document for name in database.list_collection_names() for document in database[name].find()]
    written += mongo_connection["local"]["oplog.rs"].find({"ns": {"$regex": f"^{prepared_database}\\."}})
    assert len(written) > 3
    for secret in secrets:
        number = int.from_bytes(_base64url(secret), "big")
        forms = [
            secret.encode(),
            f"{number:x}".encode(),
            f"{number:X}".encode(),
            _base64url(secret),
            str(number).encode(),
        ]
        for document in written:
            raw = encode(document)
            assert not any(form in raw for form in forms)


async def test_a_record_has_the_documented_fields(node, collection, clock):
    """One document a generation, with what is needed to elect and to retire it in clear."""
    key = await node.signing.get_signing_credentials()
    rotated = await node.signing.rotate()
    first, second = collection.find().sort("_id")
    assert first.keys() == {"_id", "tenant", "key_id", "algorithm", "created", "stored", "payload"}
    assert (first["_id"], first["tenant"], first["key_id"]) == ("default|1", "default", key.key_id)
    assert (second["_id"], second["key_id"], second["supersedes"]) == ("default|2", rotated.key_id, True)


async def test_a_deleted_key_leaves_its_place_for_a_while(open_node, collection, mongo_connection):
    """Without payload, and until long after every node has read the keys again, whatever the node's clock shows."""
    node = await open_node(own_clock=FakeClock(datetime(2020, 1, 1, tzinfo=UTC)))
    await node.signing_keys.store_key(a_serialized_key("a"))
    await node.signing_keys.store_key(a_serialized_key("b"))
    await node.signing_keys.delete_key("b")
    tombstone = collection.find_one({"_id": "default|2"})
    assert "payload" not in tombstone
    left = tombstone["purge_at"] - mongo_connection.admin.command("hello")["localTime"]
    assert TOMBSTONE_LIFETIME - timedelta(minutes=10) < left <= TOMBSTONE_LIFETIME
    await node.signing_keys.store_key(a_serialized_key("c"))
    assert collection.find_one({"_id": "default|3"})["key_id"] == "c"


async def test_the_database_refuses_a_key_in_clear(node, collection):
    """The validator of the collection asks for an envelope."""
    await node.signing_keys.store_key(a_serialized_key("a"))
    with pytest.raises(WriteError):
        collection.update_one({}, {"$set": {"payload": Binary(b'{"d":"private"}' * 10)}})


async def test_tenants_have_keys_of_their_own(node):
    """Neither ids nor generations nor keys are shared."""
    other = node.for_tenant("acme")
    here, there = [await each.signing.get_signing_credentials() for each in (node, other)]
    assert [key.id for key in await node.signing_keys.load_keys()] == [here.key_id]
    assert [key.id for key in await other.signing_keys.load_keys()] == [there.key_id]
    assert await other.signing_keys.delete_key(here.key_id) is False
    await other.signing_keys.store_key(a_serialized_key(here.key_id))


@pytest.mark.parametrize(
    "change",
    [
        {"created": FakeClock().now() + DAY},
        {"algorithm": "ES384"},
        {"key_id": "another"},
        {"supersedes": True},
        {"stored": FakeClock().now() + DAY},
        {"payload": None},
        {"payload": "text"},
        {"payload": Binary(b"\x01" + bytes(80))},
        {"created": "yesterday"},
        {"key_id": 5},
    ],
    ids=lambda change: f"{next(iter(change))}-{type(next(iter(change.values()))).__name__}",
)
async def test_a_changed_record_is_unreadable(node, collection, change):
    """A key whose age, id or payload was changed from outside does not sign, is left out of lists, and is not deleted."""
    await node.signing.get_signing_credentials()
    await node.signing_keys.store_key(a_serialized_key("good"))
    collection.database.command("collMod", "signing_keys", validationLevel="off")
    collection.update_one({"_id": "default|1"}, {"$set": change})
    assert [key.id for key in await node.signing_keys.load_keys()] == ["good"]
    await node.signing_keys.delete_key("good")
    with pytest.raises((PayloadUnreadable, KeyUnavailable)):
        await node.signing_keys.load_keys()
    assert collection.count_documents({"purge_at": None}) == 1


async def test_a_payload_that_was_moved_is_unreadable(node, collection):
    """A sealed key opens in its own record only."""
    for key_id in ("a", "b"):
        await node.signing_keys.store_key(a_serialized_key(key_id))
    first = collection.find_one({"_id": "default|1"})
    collection.update_one({"_id": "default|2"}, {"$set": {name: first[name] for name in ("payload", "key_id")}})
    (key,) = await node.signing_keys.load_keys()
    assert key.id == "a"


async def test_records_of_other_forms_disturb_nobody(node, collection):
    """What somebody else put there is reported; keys are made and found beside it."""
    await node.signing.get_signing_credentials()
    collection.database.command("collMod", "signing_keys", validationLevel="off")
    collection.insert_many([{"_id": "default|x"}, {"_id": "default|"}, {"_id": "defaulu|1"}, {"_id": 7}])
    new = await node.signing.rotate()
    assert new.key_id in {key.id for key in await node.signing_keys.load_keys()}
    assert collection.find_one({"_id": "default|2"})["key_id"] == new.key_id


async def test_a_lost_key_ring_makes_no_pile_of_keys(open_node, collection, mongo_connection, prepared_database, clock):
    """Where the data keys are gone, every node refuses, again and again, and nothing is written."""
    old = (await (await open_node()).signing.get_signing_credentials()).key_id
    mongo_connection[prepared_database]["data_keys"].delete_many({})
    before = list(collection.find())
    for _ in range(3):
        node = await open_node()
        for method in (node.signing.get_signing_credentials, node.signing.jwks, node.signing.rotate):
            with pytest.raises(KeyUnavailable, match=old):
                await method()
        with pytest.raises(KeyUnavailable):
            await node.signing_keys.load_keys()
        clock.advance(30 * DAY)
    assert list(collection.find()) == before
    # What is lost for good goes when its time is over; by then no node has it any more.
    collection.update_many({}, {"$set": LONG_AGO})
    fresh = await (await open_node()).signing.get_signing_credentials()
    assert [each["key_id"] for each in collection.find({"purge_at": None})] == [fresh.key_id]


async def test_destroyed_data_keys_stop_signing(open_node, node, collection):
    """A tenant whose data were shredded gets no new keys."""
    await node.signing.get_signing_credentials()
    await node.key_ring.destroy("default")
    other = await open_node()
    for method in (other.signing.get_signing_credentials, other.signing.rotate):
        with pytest.raises(KeyUnavailable):
            await method()
    assert collection.count_documents({}) == 1


async def test_one_damaged_algorithm_is_replaced_a_bounded_number_of_times(open_node, collection, clock):
    """The damaged key is replaced once or twice by nodes that read the others; then it is refused."""
    algorithms = ("ES256", "ES384")
    good = (await (await open_node(algorithms)).signing.get_signing_credentials()).key_id
    for _ in range(5):
        collection.update_many({"algorithm": "ES384"}, {"$set": {"payload": Binary(b"\x01" + bytes(80))}})
        node = await open_node(algorithms)
        assert (await node.signing.get_signing_credentials()).key_id == good
    assert collection.count_documents({"algorithm": "ES384"}) == MAX_UNREADABLE_KEYS
    with pytest.raises(KeyUnavailable, match="2 of 3"):
        await node.signing.get_signing_credentials("ES384")


async def test_a_retired_key_is_published_no_more_and_deleted(node, open_node, collection, clock):
    """By the server's time: 104 days after it was made and stored, and not a moment before."""
    await node.signing.get_signing_credentials()
    with_a_day_left = await _stored_ago(node, collection, "day", 103 * DAY)
    retired = await _stored_ago(node, collection, "retired", 104 * DAY)
    clock.advance(DAY)  # So that the keys are read again.
    published = {key.key_id for key in await node.signing.get_validation_keys()}
    assert with_a_day_left in published
    assert retired not in published
    assert collection.find_one({"key_id": retired})["purge_at"] is not None
    assert collection.find_one({"key_id": with_a_day_left}).get("purge_at") is None


async def test_a_key_can_not_be_published_for_longer_by_changing_when_it_was_stored(node, collection, clock):
    """A key that has leaked, and is retired, is not brought back by a write: it stays hidden, with an error logged."""
    await node.signing.get_signing_credentials()
    retired = await _stored_ago(node, collection, "retired", 104 * DAY)
    collection.update_one({"key_id": retired}, {"$set": {"stored": clock.now()}})
    clock.advance(DAY)
    assert retired not in {key.key_id for key in await node.signing.get_validation_keys()}


async def test_a_node_whose_clock_is_far_ahead_deletes_and_hides_nothing(node, open_node, clock):
    """It makes a key of its own, publishes it beside those that others sign with, and these go on."""
    signing = (await node.signing.get_signing_credentials()).key_id
    announced = (await node.signing.rotate()).key_id
    ahead = await open_node(own_clock=FakeClock(clock.now() + 120 * DAY))
    assert {key.key_id for key in await ahead.signing.get_validation_keys()} >= {signing, announced}
    await ahead.signing.rotate_if_due()
    own = (await ahead.signing.get_signing_credentials()).key_id
    assert [key.id for key in await node.signing_keys.load_keys()] == [signing, announced, own]
    for again in (node, await open_node()):
        clock.advance(DAY)
        assert (await again.signing.get_signing_credentials()).key_id == signing
        assert {key.key_id for key in await again.signing.get_validation_keys()} == {signing, announced, own}


async def test_what_a_node_whose_clock_is_far_behind_signs_with_is_published_by_all(node, open_node, clock):
    """It makes a key that is old at once: it is neither deleted nor hidden by the others, and stays the only one."""
    signing = (await node.signing.get_signing_credentials()).key_id
    slow = FakeClock(clock.now() - 120 * DAY)
    behind = await open_node(own_clock=slow)
    own = (await behind.signing.get_signing_credentials()).key_id
    clock.advance(DAY)
    assert {key.key_id for key in await node.signing.get_validation_keys()} == {signing, own}
    assert (await node.signing.get_signing_credentials()).key_id == signing
    for _ in range(5):
        slow.advance(timedelta(minutes=1))
        assert (await behind.signing.get_signing_credentials()).key_id == own
    assert [key.id for key in await node.signing_keys.load_keys()] == [signing, own]


async def test_a_key_of_a_version_before_is_retired_by_its_creation(node, open_node, collection):
    """Its record does not tell when it was stored, so its life is counted as it was then."""
    await node.signing.get_signing_credentials()
    young = await _stored_ago(node, collection, "young", 103 * DAY, told=False)
    old = await _stored_ago(node, collection, "old", 104 * DAY, told=False)
    other = await open_node()
    published = {key.key_id for key in await other.signing.get_validation_keys()}
    assert young in published
    assert old not in published
    assert collection.find_one({"key_id": old})["purge_at"] is not None


async def test_records_that_are_no_keys_stop_no_key_that_is_due(node, open_node, collection, clock):
    """Two hundred that can't be opened, and one whose number is too long to be read: the successor is made in time."""
    old = (await node.signing.get_signing_credentials()).key_id
    collection.database.command("collMod", "signing_keys", validationLevel="off")
    garbage = {"key_id": "bad", "algorithm": "ES256", "created": clock.now(), "payload": Binary(b"\x01" + bytes(80))}
    collection.insert_many({"_id": f"default|{number}", **garbage} for number in range(2, 200))
    collection.insert_one({"_id": "default|" + "9" * 5_000, **garbage})
    collection.database.command("collMod", "signing_keys", validationLevel="strict")
    clock.advance(89 * DAY)
    announced = {key.key_id for key in await node.signing.get_validation_keys()} - {old}
    clock.advance(DAY)
    assert {(await (await open_node()).signing.get_signing_credentials()).key_id} == announced


async def test_an_unreadable_key_is_deleted_when_it_is_retired(node, collection, clock):
    """Its age is read in clear."""
    old = (await node.signing.get_signing_credentials()).key_id
    collection.update_one({}, {"$set": {"payload": Binary(b"\x01" + bytes(80)), **LONG_AGO}})
    clock.advance(104 * DAY)
    new = (await node.signing.get_signing_credentials()).key_id
    assert collection.find_one({"key_id": old})["purge_at"] is not None
    assert [key.id for key in await node.signing_keys.load_keys()] == [new]


async def test_nodes_that_rotate_at_once_make_one_key(open_node, collection):
    """Eight nodes, each with a connection of its own, on an empty database: one key, and one more at the next time."""
    nodes = [await open_node() for _ in range(8)]
    first = await asyncio.gather(*(node.signing.get_signing_credentials() for node in nodes))
    assert len({key.key_id for key in first}) == 1
    second = await asyncio.gather(*(node.signing.rotate() for node in nodes))
    assert len({key.key_id for key in second}) == 1
    assert collection.count_documents({}) == 2


async def test_nothing_depends_on_an_index(mongo_uri, database_name, clock):
    """On a database without the schema, eight nodes elect one key as well."""
    options = StoreOptions(signing=SigningOptions(signing_algorithms=["ES256"]))
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(8):
            store = MongoStore(mongo_uri, database=database_name, master_key=MASTER_KEY, options=options, clock=clock)
            with pytest.warns(UserWarning, match="schema"):
                nodes.append(await stack.enter_async_context(store))
        keys = await asyncio.gather(*(node.signing.rotate() for node in nodes))
        assert len({key.key_id for key in keys}) == 1
        await asyncio.gather(
            *(node.signing_keys.store_key(a_serialized_key("k")) for node in nodes), return_exceptions=True
        )
        assert len(await nodes[0].signing_keys.load_keys()) == 2


async def test_keys_outlive_a_rotation_of_what_seals_them(node, open_node, collection):
    """Payloads that were sealed anew, under another data key, open on every node."""
    key = await node.signing.get_signing_credentials()
    before = collection.find_one()["payload"]
    await node.key_ring.rotate()
    await node.key_ring.reencrypt()
    assert collection.find_one()["payload"] != before
    other = await open_node()
    assert (await other.signing.get_signing_credentials()).private_jwk() == key.private_jwk()


async def _stored_ago(node, collection, key_id, age, *, told=True):
    """Store a key as it was made and stored so long ago, by the server's time; its id."""
    codec, seen = node.signing_keys._codec, await node.signing_keys.read()
    created = seen.read_at - age
    key = serialize(generate("ES256", key_id, 0), created)
    document = await codec.document(key, seen.generation + 1, supersedes=False, stored=created)
    if not told:
        del document["stored"]
        context = Context("default", "signing_keys", str(seen.generation + 1), "payload")
        document["payload"] = Binary(await codec._protector.seal(to_payload(key), context))
    collection.insert_one(document)
    return key_id


def _base64url(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
