"""What somebody without keys writes into the database is not believed: neither forged, extended, answered nor reassigned.

What remains to such a writer is to delete, to hide, and to put an older record in the place of a newer one.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from mongostore import LocalMasterKey, MongoStore, PayloadUnreadable, StoreOptions
from mongostore.events import StoreEvent
from mongostore.models import Message, PersistedGrantFilter
from mongostore.protection.columns import without_columns
from mongostore.testing import FakeClock
from mongostore.testing.factories import (
    a_backchannel_request,
    a_consent,
    a_device_code,
    a_pushed_request,
    a_reference_token,
    a_refresh_token,
    an_answered_device_code,
    an_authorization_code,
)

GRACE = timedelta(seconds=30)
FAR = datetime(2090, 1, 1, tzinfo=UTC)


@pytest.fixture
def told() -> list[StoreEvent]:
    return []


@pytest.fixture
async def store(mongo_uri: str, prepared_database: str, told: list[StoreEvent]) -> AsyncIterator[MongoStore]:
    options = StoreOptions(telemetry=False, on_event=told.append)
    master_key = LocalMasterKey.generate()
    async with MongoStore(
        mongo_uri, database=prepared_database, master_key=master_key, options=options, clock=FakeClock()
    ) as opened:
        yield opened


@pytest.fixture
def raw(mongo_connection: MongoClient[dict[str, Any]], prepared_database: str) -> Database[dict[str, Any]]:
    return mongo_connection[prepared_database]


def tampered(told: list[StoreEvent]) -> set[str | None]:
    """The collections of which tampering was told."""
    return {event.collection for event in told if event.kind == "tampered"}


GRANT_COLUMNS = {
    "type": "reference_token",
    "client_id": "admin",
    "subject_id": "admin",
    "session_id": "other",
    "description": "something else",
    "creation_time": FAR,
    "expiration": FAR,
    "family": "code-" + 32 * "0",
    "completed": True,
}


@pytest.mark.parametrize(("column", "value"), GRANT_COLUMNS.items())
async def test_a_changed_column_of_a_grant_is_not_believed(store, raw, told, column, value):
    """By key and in a list; the list gives the others."""
    handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    (grant,) = await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))
    raw["grants"].update_one({}, {"$set": {column: value}})
    with pytest.raises(PayloadUnreadable, match=column):
        await store.persisted_grants.get(grant.key)
    if column != "type":
        with pytest.raises(PayloadUnreadable, match=column):
            await store.refresh_tokens.get_refresh_token(handle)
        with pytest.raises(PayloadUnreadable, match=column):
            await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
        with pytest.raises(PayloadUnreadable, match=column):
            await store.refresh_tokens.update_refresh_token(handle, a_refresh_token())
    assert tampered(told) == {"grants"}
    await store.refresh_tokens.store_refresh_token(a_refresh_token(subject_id="bob"))


async def test_a_column_that_was_removed_is_missed(store, raw):
    """To take a column away, so that a grant never expires, is a change."""
    handle = await store.reference_tokens.store_reference_token(a_reference_token())
    raw["grants"].update_one({}, {"$unset": {"expiration": "", "purge_at": ""}})
    with pytest.raises(PayloadUnreadable, match="expiration"):
        await store.reference_tokens.get_reference_token(handle)


@pytest.mark.parametrize("change", [{"$set": {"purge_at": FAR}}, {"$unset": {"purge_at": ""}}])
async def test_a_longer_life_is_not_believed(store, raw, change):
    """A code of 300 seconds is not redeemed 300 days later: when it expires is sealed, whenever it is purged."""
    code = await store.authorization_codes.store_authorization_code(an_authorization_code(lifetime=300))
    token = await store.reference_tokens.store_reference_token(a_reference_token(lifetime=300))
    await store.device_flow.store_device_authorization("device", "USER", an_answered_device_code(lifetime=300))
    until = store.clock.now() + timedelta(seconds=300)
    await store.pushed_authorization_requests.store(a_pushed_request("hash", expires_at_utc=until))
    await store.user_consents.store_user_consent(a_consent(expiration=until))
    for collection in ("grants", "device_codes", "pushed_authorization_requests"):
        raw[collection].update_many({}, change if collection == "grants" else {"$set": {"purge_at": FAR}})
    store.clock.advance(timedelta(days=300))
    assert (await store.authorization_codes.redeem_authorization_code(code)).outcome == "unknown"
    assert await store.authorization_codes.get_authorization_code(code) is None
    assert await store.reference_tokens.get_reference_token(token) is None
    assert await store.user_consents.get_user_consent("alice", "web") is None
    assert await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice")) == []
    assert await store.device_flow.find_by_user_code("USER") is None
    assert await store.device_flow.consume_by_device_code("device") is None
    assert await store.pushed_authorization_requests.get_by_hash("hash") is None
    assert await store.pushed_authorization_requests.consume_by_hash("hash") is None


async def test_a_longer_life_of_a_message_is_not_believed(store, raw, told):
    """A message's end stands beside its payload only, and is bound to it."""
    message = await store.messages.write(Message("text"))
    raw["messages"].update_one({}, {"$set": {"purge_at": FAR}})
    with pytest.raises(PayloadUnreadable, match="purge_at"):
        await store.messages.read(message)
    assert tampered(told) == {"messages"}


async def test_a_successor_is_not_exchanged(store, raw, told):
    """A used token whose successor was pointed at an administrator's does not answer a retry with that one."""
    used = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token(), grace=GRACE)
    await store.refresh_tokens.store_refresh_token(a_refresh_token(client_id="admin"))
    admin = raw["grants"].find_one({"client_id": "admin"})["_id"].partition("|")[2]
    raw["grants"].update_one({"successor_key": {"$exists": True}}, {"$set": {"successor_key": admin}})
    with pytest.raises(PayloadUnreadable, match="successor_key"):
        await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token(), grace=GRACE)
    assert tampered(told) == {"grants"}


async def test_a_grace_does_not_begin_again(store, raw):
    """When a token was used first is sealed with its successor: a later instant beside it opens nothing."""
    used = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token(), grace=GRACE)
    store.clock.advance(timedelta(minutes=5))
    raw["grants"].update_one({"successor_key": {"$exists": True}}, {"$set": {"consumed_time": store.clock.now()}})
    with pytest.raises(PayloadUnreadable, match="consumed_time"):
        await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token(), grace=GRACE)


async def test_a_successor_of_the_old_form_is_not_exchanged(store, raw):
    """Before columns were bound, a successor's key stood free: it must be that of the sealed handle."""
    used = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    rotation = await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token(), grace=GRACE)
    await store.refresh_tokens.store_refresh_token(a_refresh_token(client_id="admin"))
    codec = store.refresh_tokens._records._codec
    old = raw["grants"].find_one({"successor_key": {"$exists": True}})
    place = codec._context(old["_id"].partition("|")[2], "successor")
    sealed = await codec._protector.seal(rotation.handle.encode(), place)
    admin = raw["grants"].find_one({"client_id": "admin"})["_id"].partition("|")[2]
    raw["grants"].update_one({"_id": old["_id"]}, {"$set": {"successor": sealed, "successor_key": admin}})
    with pytest.raises(PayloadUnreadable, match="successor"):
        await store.refresh_tokens.rotate_refresh_token(used, a_refresh_token(), grace=GRACE)


async def test_a_backchannel_request_is_not_answered_from_outside(store, raw):
    """The mark of an answer is bound to what is sealed, and so is who answers."""
    requests = store.backchannel_authentication_requests
    await requests.create_request(a_backchannel_request())
    internal_id = raw["grants"].find_one()["_id"].partition("|")[2]
    raw["grants"].update_one({}, {"$set": {"completed": True}})
    with pytest.raises(PayloadUnreadable, match="completed"):
        await requests.get_by_internal_id(internal_id)
    with pytest.raises(PayloadUnreadable, match="completed"):
        await requests.update_by_internal_id(internal_id, a_backchannel_request(is_complete=True))
    with pytest.raises(PayloadUnreadable, match="completed"):
        await requests.consume_by_internal_id(internal_id)


@pytest.mark.parametrize(
    ("column", "value"),
    [("client_id", "admin"), ("subject_id", "admin"), ("session_id", "other"), ("expiration", FAR)],
)
async def test_a_changed_column_of_the_old_form_is_not_believed(store, raw, column, value):
    """Before columns were bound, they stood free: what the sealed token or code says itself must be the same."""
    token = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    code = await store.authorization_codes.store_authorization_code(an_authorization_code())
    codec = store.refresh_tokens._records._codec
    for document in raw["grants"].find():
        place = codec._context(document["_id"].partition("|")[2], "payload")
        _, inner = without_columns(await codec._protector.open(document["payload"], place))
        old = await codec._protector.seal(inner, place)
        raw["grants"].update_one({"_id": document["_id"]}, {"$set": {"payload": old}})
    assert await store.refresh_tokens.get_refresh_token(token) is not None
    assert await store.authorization_codes.get_authorization_code(code) is not None
    raw["grants"].update_many({}, {"$set": {column: value, "purge_at": FAR}})
    for use in (
        store.refresh_tokens.get_refresh_token(token),
        store.refresh_tokens.rotate_refresh_token(token, a_refresh_token()),
        store.authorization_codes.get_authorization_code(code),
        store.authorization_codes.redeem_authorization_code(code),
    ):
        with pytest.raises(PayloadUnreadable, match=column):
            await use


async def test_a_request_of_the_old_form_is_not_answered_from_outside(store, raw):
    """Before columns were bound, the mark stood free: what is sealed must say the same."""
    await store.backchannel_authentication_requests.create_request(a_backchannel_request())
    await store.device_flow.store_device_authorization("device", "USER", a_device_code())
    codec = store.device_flow._codec
    for collection, mark in (("grants", "completed"), ("device_codes", "is_authorized")):
        document = raw[collection].find_one()
        (label, key) = (collection, document["_id"].partition("|")[2])
        context = codec._context(document["_id"])._replace(collection=label, record_id=key)
        with_columns = await codec._protector.open(document["payload"], context)
        ends_at = 5 + int.from_bytes(with_columns[1:5], "big")
        sealed = await codec._protector.seal(with_columns[ends_at:], context)
        raw[collection].update_one({}, {"$set": {"payload": sealed, mark: True}})
    internal_id = raw["grants"].find_one()["_id"].partition("|")[2]
    with pytest.raises(PayloadUnreadable, match="answered"):
        await store.backchannel_authentication_requests.consume_by_internal_id(internal_id)
    with pytest.raises(PayloadUnreadable, match="answered"):
        await store.device_flow.consume_by_device_code("device")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("is_authorized", True),
        ("client_id", "admin"),
        ("subject_id", "admin"),
        ("session_id", "other"),
        ("expiration", FAR),
        ("creation_time", FAR),
    ],
)
async def test_a_device_is_not_answered_from_outside(store, raw, told, column, value):
    """Whether, by whom, for whom and until when a device's request is answered is sealed."""
    await store.device_flow.store_device_authorization("device", "USER", a_device_code())
    raw["device_codes"].update_one({}, {"$set": {column: value}})
    for read in (store.device_flow.find_by_device_code("device"), store.device_flow.find_by_user_code("USER")):
        with pytest.raises(PayloadUnreadable, match=column):
            await read
    with pytest.raises(PayloadUnreadable, match=column):
        await store.device_flow.update_by_user_code("USER", an_answered_device_code())
    if column == "is_authorized":
        with pytest.raises(PayloadUnreadable, match=column):
            await store.device_flow.consume_by_device_code("device")
    assert tampered(told) == {"device_codes"}


async def test_a_user_code_is_not_given_to_another_device(store, raw):
    """A victim who types its code does not answer the attacker's device to whose record the code's hash was moved."""
    await store.device_flow.store_device_authorization("attacker's", "ATTACKER", a_device_code())
    await store.device_flow.store_device_authorization("victim's", "VICTIM", a_device_code())
    attacker, victim = raw["device_codes"].find(sort=[("_id", 1)])
    if attacker["_id"] != store.device_flow._codec.id_of("attacker's"):
        attacker, victim = victim, attacker
    raw["device_codes"].delete_one({"_id": victim["_id"]})
    raw["device_codes"].update_one({"_id": attacker["_id"]}, {"$set": {"user_code": victim["user_code"]}})
    with pytest.raises(PayloadUnreadable, match="user_code"):
        await store.device_flow.update_by_user_code("VICTIM", an_answered_device_code())
    assert await store.device_flow.consume_by_device_code("attacker's") is None


@pytest.mark.parametrize("column", ["client_id", "subject_id", "session_id", "expiration"])
async def test_a_pushed_request_is_not_reassigned(store, raw, told, column):
    """Whose a pushed request is, and until when, is sealed."""
    await store.pushed_authorization_requests.store(a_pushed_request("hash"))
    raw["pushed_authorization_requests"].update_one({}, {"$set": {column: FAR if column == "expiration" else "admin"}})
    with pytest.raises(PayloadUnreadable, match=column):
        await store.pushed_authorization_requests.get_by_hash("hash")
    with pytest.raises(PayloadUnreadable, match=column):
        await store.pushed_authorization_requests.consume_by_hash("hash")
    assert tampered(told) == {"pushed_authorization_requests"}
