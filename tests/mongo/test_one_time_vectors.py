"""One-time records against their vectors: what one version stored, every later one must read, and find by the same ids.

The vectors hold documents and key ring as MongoDB's extended JSON.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from bson.codec_options import CodecOptions

from mongostore import LocalMasterKey, MongoStore
from mongostore.grants.handles import grant_key
from mongostore.models import BackChannelAuthenticationRequest, DeviceCode, Message, PushedAuthorizationRequest
from mongostore.stores.handles import hashed
from mongostore.testing import FakeClock

START = datetime(2100, 1, 1, tzinfo=UTC)
OPTIONS = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True)
# In the second form, which is written now, payloads are bound to what stands in clear beside them.
FORM_2 = "_2"
COLLECTIONS = {
    "device_codes": "device_codes",
    "pushed_requests": "pushed_authorization_requests",
    "backchannel": "grants",
    "messages": "messages",
    "replay": "replay_cache",
}


def vectors(noun: str) -> dict[str, Any]:
    path = Path(__file__).parents[1] / "vectors" / f"{noun}.json"
    return json_util.loads(path.read_text("utf-8"), json_options=OPTIONS)


def value(model: Any, record: dict[str, Any]) -> Any:
    return model.model_validate_json(json.dumps(record["value"], default=_instant))


def _instant(instant: datetime) -> str:
    return instant.isoformat()


@pytest.fixture
async def opened(request, mongo_uri, mongo_connection, prepared_database):
    """A store whose database holds a noun's vectors and their key ring; and the collection, and the records."""
    noun = request.param
    kept = vectors(noun)
    database = mongo_connection.get_database(prepared_database, codec_options=CodecOptions(tz_aware=True))
    if "data_keys" in kept:
        database["data_keys"].insert_many(kept["data_keys"])
    master_key = LocalMasterKey.from_text(kept["master_key"]) if "master_key" in kept else LocalMasterKey.generate()
    collection = database[COLLECTIONS[noun.removesuffix(FORM_2)]]
    collection.insert_many(record["document"] for record in kept["records"])
    async with MongoStore(
        mongo_uri, database=prepared_database, master_key=master_key, clock=FakeClock(START)
    ) as store:
        yield store, collection, [record | {"is_written_now": noun.endswith(FORM_2)} for record in kept["records"]]


def without_payload(document: dict[str, Any]) -> dict[str, Any]:
    """All that is the same whenever the same is stored: sealing is different each time."""
    assert len(document["payload"]) > 57
    return {name: each for name, each in document.items() if name != "payload"}


@pytest.mark.parametrize("opened", ["device_codes", "device_codes" + FORM_2], indirect=True)
async def test_device_codes(opened):
    """Found by both codes, and stored under the same hashes again."""
    store, collection, records = opened
    for record in records:
        data = value(DeviceCode, record)
        assert await store.device_flow.find_by_device_code(record["device_code"]) == data
        assert await store.device_flow.find_by_user_code(record["user_code"]) == data
        if not record["is_written_now"]:
            continue
        collection.delete_many({})
        await store.device_flow.store_device_authorization(record["device_code"], record["user_code"], data)
        assert without_payload(collection.find_one()) == without_payload(record["document"])


@pytest.mark.parametrize("opened", ["pushed_requests", "pushed_requests" + FORM_2], indirect=True)
async def test_pushed_requests(opened):
    """Found by their hash, and stored under the same `_id` again."""
    store, collection, records = opened
    for record in records:
        par = value(PushedAuthorizationRequest, record)
        assert await store.pushed_authorization_requests.get_by_hash(par.reference_value_hash) == par
        if not record["is_written_now"]:
            continue
        collection.delete_many({})
        await store.pushed_authorization_requests.store(par)
        assert without_payload(collection.find_one()) == without_payload(record["document"])


@pytest.mark.parametrize("opened", ["backchannel", "backchannel" + FORM_2], indirect=True)
async def test_backchannel_requests(opened):
    """Found by both ids, and the same columns written by an answer."""
    store, collection, records = opened
    assert len(records) == 2
    for record in records:
        request = value(BackChannelAuthenticationRequest, record)
        requests = store.backchannel_authentication_requests
        assert record["internal_id"] == grant_key(record["handle"], "ciba")
        assert await requests.get_by_authentication_request_id(record["handle"]) == request
        await requests.update_by_internal_id(record["internal_id"], request)
        stored = collection.find_one({"_id": record["document"]["_id"]})
        assert without_payload(stored) == without_payload(record["document"])
        assert await requests.consume_by_internal_id(record["internal_id"]) == (
            request if request.is_complete else None
        )


@pytest.mark.parametrize("opened", ["messages", "messages" + FORM_2], indirect=True)
async def test_messages(opened):
    """Found by their id in the store of their kind alone."""
    store, _, records = opened
    assert {record["kind"] for record in records} == {"message", "consent"}
    stores = {"message": store.messages, "consent": store.consent_messages}
    for record in records:
        for kind, messages in stores.items():
            expected = value(Message, record) if kind == record["kind"] else None
            assert await messages.read(record["id"]) == expected
        assert record["document"]["_id"] == f"default|{hashed(record['kind'], record['id'])}"
        assert record["document"]["purge_at"] == START + timedelta(hours=1)
        assert without_payload(record["document"]).keys() == {"_id", "tenant", "purge_at"}


@pytest.mark.parametrize("opened", ["replay"], indirect=True)
async def test_replay_entries(opened):
    """Found by purpose and handle, and stored under the same `_id` again."""
    store, collection, records = opened
    for record in records:
        assert await store.replay_cache.exists(record["purpose"], record["handle"]) is True
        collection.delete_many({})
        expires_at = datetime.fromisoformat(record["expires_at"])
        assert await store.replay_cache.add(record["purpose"], record["handle"], expires_at) is True
        assert collection.find_one() == record["document"]
