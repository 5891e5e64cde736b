"""Grants that somebody changed behind the store's back: named when one is read, left out when many are."""

import logging
from datetime import timedelta

import pytest
from bson import Binary

from mongostore import KeyUnavailable, PayloadUnreadable
from mongostore.models import PersistedGrantFilter
from mongostore.testing.factories import a_grant, a_refresh_token

PAYLOAD = "payload 4711 secret"
GRACE = timedelta(seconds=60)
ALICE = PersistedGrantFilter(subject_id="alice")


@pytest.fixture
async def store(prepared_database, open_store):
    async with open_store(prepared_database) as opened:
        await opened.persisted_grants.store(a_grant("good", data=PAYLOAD))
        await opened.persisted_grants.store(a_grant("bad", data=PAYLOAD))
        yield opened


@pytest.fixture
def grants(mongo_connection, prepared_database):
    """The operator's hands, which no validator stops."""
    mongo_connection[prepared_database].command("collMod", "grants", validationLevel="off")
    return mongo_connection[prepared_database]["grants"]


def flipped(payload: bytes, at: int) -> Binary:
    return Binary(payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :])


# What the payload becomes, of the record's own and of the other record's.
PAYLOADS = {
    "missing": lambda own, other: None,
    "text": lambda own, other: PAYLOAD,
    "plain bytes": lambda own, other: Binary(PAYLOAD.encode() * 10),
    "empty": lambda own, other: Binary(b""),
    "short": lambda own, other: Binary(own[:56]),
    "cut": lambda own, other: Binary(own[:-1]),
    "longer": lambda own, other: Binary(own + b"x"),
    "version flipped": lambda own, other: flipped(own, 0),
    "nonce flipped": lambda own, other: flipped(own, 20),
    "ciphertext flipped": lambda own, other: flipped(own, 45),
    "tag flipped": lambda own, other: flipped(own, len(own) - 1),
    "of another record": lambda own, other: Binary(other),
}

FIELDS = {
    "client_id is missing": {"$unset": {"client_id": ""}},
    "client_id is a number": {"$set": {"client_id": 7}},
    "type is an array": {"$set": {"type": ["refresh_token"]}},
    "creation_time is text": {"$set": {"creation_time": "yesterday"}},
    "creation_time is missing": {"$unset": {"creation_time": ""}},
    "expiration is a number": {"$set": {"expiration": 7}},
    "consumed_time is a document": {"$set": {"consumed_time": {"$gt": ""}}},
    "purge_at is text": {"$set": {"purge_at": "tomorrow"}},
    "purge_at is a number": {"$set": {"purge_at": 7}},
    "description is a number": {"$set": {"description": 7}},
}


async def check_damage(store, caplog):
    """One read tells; a list leaves out and logs; nothing is deleted by it, and no secret is told."""
    with pytest.raises(PayloadUnreadable) as caught:
        await store.persisted_grants.get("bad")
    assert caught.value.collection == "grants"
    assert (await store.persisted_grants.get("good")).data == PAYLOAD
    with caplog.at_level(logging.ERROR):
        assert [each.key for each in await store.persisted_grants.get_all(ALICE)] == ["good"]
    assert "1 of 2" in caplog.text
    await store.persisted_grants.remove("good")
    with pytest.raises(PayloadUnreadable):
        await store.persisted_grants.get_all(ALICE)
    for said in (str(caught.value), repr(caught.value), caplog.text):
        assert "4711" not in said
        assert "|bad" not in said


@pytest.mark.parametrize("change", PAYLOADS.values(), ids=PAYLOADS)
async def test_a_changed_payload_is_unreadable(store, grants, caplog, change):
    """A payload that is gone, cut, flipped in one bit or copied from another record does not open."""
    own, other = (grants.find_one({"_id": f"default|{key}"})["payload"] for key in ("bad", "good"))
    value = change(own, other)
    update = {"$unset": {"payload": ""}} if value is None else {"$set": {"payload": value}}
    grants.update_one({"_id": "default|bad"}, update)
    await check_damage(store, caplog)
    assert await store.persisted_grants.remove("bad") is True


@pytest.mark.parametrize("change", FIELDS.values(), ids=FIELDS)
async def test_a_changed_field_is_unreadable(store, grants, caplog, change):
    """A field of another type, or one that is missing, is damage as well, and not somebody else's exception."""
    grants.update_one({"_id": "default|bad"}, change)
    await check_damage(store, caplog)


async def test_a_payload_of_another_tenant_is_unreadable(store, grants, caplog):
    """The same record under another tenant has another place: its payload does not open here."""
    acme = store.for_tenant("acme")
    await acme.persisted_grants.store(a_grant("bad", data=PAYLOAD))
    (foreign,) = grants.find({"_id": "acme|bad"})
    grants.update_one({"_id": "default|bad"}, {"$set": {"payload": foreign["payload"]}})
    with pytest.raises((KeyUnavailable, PayloadUnreadable)):
        await store.persisted_grants.get("bad")
    assert [each.key for each in await store.persisted_grants.get_all(ALICE)] == ["good"]


async def test_a_lost_data_key_is_named(store, mongo_connection, prepared_database, open_store):
    """Without its key a payload can't be read: the error says which key, and a list of nothing but such raises."""
    mongo_connection[prepared_database]["data_keys"].delete_many({})
    async with open_store(prepared_database) as opened:
        with pytest.raises(KeyUnavailable) as caught:
            await opened.persisted_grants.get("bad")
        assert caught.value.key_id in str(caught.value)
        with pytest.raises(KeyUnavailable):
            await opened.persisted_grants.get_all(ALICE)
    assert mongo_connection[prepared_database]["grants"].count_documents({}) == 2


async def test_data_that_is_no_token_is_damage_of_the_typed_store(store):
    """A grant that was stored raw under a token's key is no token: the error names the type, not the data."""
    handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    (key,) = {each.key for each in await store.persisted_grants.get_all(ALICE)} - {"good", "bad"}
    for data in (PAYLOAD, b"\xff" + PAYLOAD.encode(), '{"ClientId": "4711"}', "[]", "null"):
        await store.persisted_grants.store(a_grant(key, data=data))
        for call in (
            store.refresh_tokens.get_refresh_token(handle),
            store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token()),
        ):
            with pytest.raises(PayloadUnreadable, match="refresh_token") as caught:
                await call
            assert "4711" not in str(caught.value)
            assert caught.value.__context__ is None
        assert (await store.persisted_grants.get(key)).consumed_time is None


async def test_a_damaged_grant_is_not_used_up_by_a_failed_rotation(store, grants):
    """What can't be read is neither rotated nor removed: an operator may restore it."""
    handle = await store.refresh_tokens.store_refresh_token(a_refresh_token())
    before = list(grants.find({"family": {"$exists": True}}))
    own = before[0]["payload"]
    grants.update_one({"_id": before[0]["_id"]}, {"$set": {"payload": flipped(own, 50)}})
    with pytest.raises(PayloadUnreadable):
        await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())
    grants.update_one({"_id": before[0]["_id"]}, {"$set": {"payload": own}})
    assert list(grants.find({"family": {"$exists": True}})) == before
    assert (await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token())).outcome == "rotated"


@pytest.mark.parametrize("successor", [b"plain", "plain", b"\x01" + bytes(80)], ids=["bytes", "text", "forged"])
async def test_a_changed_successor_is_no_answer_to_a_retry(store, grants, successor):
    """A retry is never given what does not open; nothing is revoked for it either."""
    handle = await store.refresh_tokens.store_refresh_token(a_refresh_token(), family="f")
    first = await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
    grants.update_one({"family": "f", "successor": {"$exists": True}}, {"$set": {"successor": successor}})
    with pytest.raises((PayloadUnreadable, KeyUnavailable)):
        await store.refresh_tokens.rotate_refresh_token(handle, a_refresh_token(), grace=GRACE)
    assert await store.refresh_tokens.get_refresh_token(first.handle) is not None
