"""What is particular to device authorization requests in MongoDB: the unique index, hashed codes, sealed data."""

import warnings
from datetime import timedelta

import pytest
from bson import encode

from mongostore import MongostoreWarning
from mongostore.errors import ConfigurationError, PayloadUnreadable
from mongostore.mongo.documents.device_codes import DeviceCodeFields
from mongostore.testing.factories import a_device_code, an_answered_device_code

DEVICE_CODE, USER_CODE = "7A0B" * 16, "123456789"
INTERVAL = timedelta(seconds=5)


@pytest.fixture
def codes(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["device_codes"]


@pytest.fixture
async def store(prepared_database, open_store, codes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MongostoreWarning)
        async with open_store(prepared_database) as opened:
            yield opened


async def test_without_the_unique_index_nothing_is_stored(store, codes):
    """The error names the index and the command that makes it; once it is there, storing works without reopening."""
    codes.drop_index("by_user_code")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"by_user_code.*python -m mongostore schema apply"):
            await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())
    assert codes.count_documents({}) == 0
    codes.create_index([("tenant", 1), ("user_code", 1)], name="by_user_code", unique=True)
    await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        (["tenant", "user_code"], {}),
        (["user_code", "tenant"], {"unique": True}),
        (["tenant", "user_code", "purge_at"], {"unique": True}),
        (["tenant", "user_code"], {"unique": True, "partialFilterExpression": {"is_authorized": True}}),
        (["tenant", "user_code"], {"unique": True, "collation": {"locale": "en"}}),
    ],
)
async def test_an_index_that_does_not_do_is_told(store, codes, keys, options):
    """Not unique, over other keys, over some of the records, or not byte for byte: none of these is taken for it."""
    codes.drop_index("by_user_code")
    codes.create_index([(key, 1) for key in keys], name="by_user_code", **options)
    with pytest.raises(ConfigurationError, match="by_user_code"):
        await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())


async def test_the_same_index_under_another_name_does(store, codes):
    """What an operator made serves as well."""
    codes.drop_index("by_user_code")
    codes.create_index([("tenant", 1), ("user_code", 1)], name="of the operator", unique=True)
    await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())
    await store.device_flow.store_device_authorization(
        "other", "other", a_device_code(creation_time=store.clock.now(), lifetime=0)
    )
    await store.device_flow.store_device_authorization("another", "other", a_device_code())


async def test_the_index_is_looked_for_once(store, wire):
    """From the second request on, storing is one command."""
    await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())
    wire.sent.clear()
    for number in range(3):
        await store.device_flow.store_device_authorization(f"d{number}", f"u{number}", a_device_code())
    sent = [command for command in wire.sent if "device_codes" in command.values()]
    assert [next(iter(command)) for command in sent] == ["update"] * 3


async def test_neither_code_nor_data_is_stored_in_clear(store, codes):
    """The fields in clear are those that the store decides and revokes by; and all user codes can't be tried."""
    await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code(description="clearly"))
    await store.device_flow.update_by_user_code(USER_CODE, an_answered_device_code(description="clearly"))
    await store.device_flow.register_poll(DEVICE_CODE, INTERVAL)
    await store.device_flow.consume_by_device_code(DEVICE_CODE)
    (stored,) = codes.find()
    assert set(stored) == {
        "_id",
        "tenant",
        "client_id",
        "subject_id",
        "session_id",
        "user_code",
        "is_authorized",
        "creation_time",
        "expiration",
        "last_poll",
        "consumed_time",
        "purge_at",
        "payload",
    }
    raw = encode(stored)
    for secret in (DEVICE_CODE, USER_CODE, "clearly", "openid"):
        assert secret.encode() not in raw
        assert secret.lower().encode() not in raw


async def test_user_codes_are_hashed_with_a_key(store, codes, database_name, prepare, open_store):
    """Two key rings hash one code differently, so without the key nobody can try all codes; the device code needs none."""
    other_name = f"{database_name}_other"
    await prepare(other_name)
    async with open_store(other_name) as other:
        for each in (store, other):
            await each.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())
    one, two = codes.find_one(), codes.database.client[other_name]["device_codes"].find_one()
    assert one["_id"] == two["_id"]
    assert one["user_code"] != two["user_code"]
    assert len(one["user_code"]) == len(two["user_code"]) == 32


async def test_looking_a_code_up_makes_no_key(store, mongo_connection, prepared_database):
    """Strangers who try codes write nothing."""
    assert await store.device_flow.find_by_user_code(USER_CODE) is None
    assert await store.device_flow.find_by_device_code(DEVICE_CODE) is None
    assert mongo_connection[prepared_database]["data_keys"].count_documents({}) == 0


async def test_a_request_that_was_moved_does_not_open(store, codes):
    """A payload opens in its own record only."""
    await store.device_flow.store_device_authorization("one", "1", an_answered_device_code("alice"))
    await store.device_flow.store_device_authorization("two", "2", an_answered_device_code("mallory"))
    one, two = codes.find().sort("_id")
    codes.update_one({"_id": one["_id"]}, {"$set": {"payload": two["payload"]}})
    unreadable = 0
    for device_code, user_code in [("one", "1"), ("two", "2")]:
        try:
            await store.device_flow.find_by_device_code(device_code)
        except PayloadUnreadable:
            unreadable += 1
            with pytest.raises(PayloadUnreadable):
                await store.device_flow.find_by_user_code(user_code)
            with pytest.raises(PayloadUnreadable):
                await store.device_flow.consume_by_device_code(device_code)
    assert unreadable == 1


@pytest.mark.parametrize("damage", [{"$unset": {"payload": ""}}, {"$set": {"payload": "plain"}}])
async def test_a_damaged_record_is_told(store, codes, damage):
    """What lost its payload, or holds it in clear, raises PayloadUnreadable."""
    await store.device_flow.store_device_authorization(DEVICE_CODE, USER_CODE, a_device_code())
    codes.database.command("collMod", codes.name, validationLevel="off")
    codes.update_one({}, damage)
    with pytest.raises(PayloadUnreadable):
        await store.device_flow.find_by_device_code(DEVICE_CODE)


def test_expired_records_are_removed_by_mongodb():
    """The time to live ends at the very instant from which the record serves nobody."""
    expiry = next(each.document for each in DeviceCodeFields.indexes if each.document["name"] == "expiry")
    assert (dict(expiry["key"]), expiry["expireAfterSeconds"]) == ({"purge_at": 1}, 0)
