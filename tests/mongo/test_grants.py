"""How grants lie in the database, that they stay readable for ever, and that they leave it."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import json_util

from mongostore import LocalMasterKey, MongoStore, NotFound, StoreOptions
from mongostore.grants.refresh_tokens import PENDING_MARGIN
from mongostore.models import Claim, Consent, PersistedGrant, PersistedGrantFilter, Principal, RefreshToken, Token
from mongostore.protection.xaes_gcm import NONCE_BYTES, XAES256GCM
from mongostore.testing import EmbeddedMongo, FakeClock
from mongostore.testing.factories import a_grant


def vectors(name):
    return json_util.loads(
        (Path(__file__).parents[1] / "vectors" / name).read_text(encoding="utf-8"),
        json_options=json_util.JSONOptions(tz_aware=True),
    )


# Whole databases as they were once written: a key ring under a known master key, and a grant of every kind. Never make them
# anew: what they hold lies in databases, and must be read by every later version. In the first form, nothing was bound to
# the payloads.
FORMS = [vectors("grants.json"), vectors("grants_2.json")]
VECTORS = FORMS[-1]
MASTER_KEY = LocalMasterKey.from_text(VECTORS["master_key"])
HANDLES = VECTORS["handles"]
CREATED = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
LONG_SECONDS = 2_000_000_000  # until 2089
GRACE = timedelta(seconds=60)
SUBJECT = Principal([Claim("sub", "älice"), Claim("sid", "s|1")], "pwd")


def a_token(**values):
    return RefreshToken(
        **{
            "creation_time": CREATED,
            "lifetime": LONG_SECONDS,
            "client_id": "web",
            "subject": SUBJECT,
            "session_id": "s|1",
            "authorized_scopes": ["openid"],
            **values,
        }
    )


REFERENCE_TOKEN = Token(creation_time=CREATED, lifetime=LONG_SECONDS, client_id="machine", claims=[])
CONSENT = Consent(subject_id="älice", client_id="web", scopes=["openid"], creation_time=CREATED)
RAW_TEXT = PersistedGrant(
    key="raw text",
    type="custom",
    client_id="web",
    description="Älice's laptop",
    creation_time=CREATED,
    consumed_time=CREATED,
    expiration=CREATED + timedelta(days=36_500),
    data="text, with an ü",
)
RAW_BYTES = PersistedGrant(
    key="raw bytes", type="custom", client_id="web", creation_time=CREATED, data=b"\x00\xff bytes"
)


async def write_everything(store):
    """One grant of each kind; the second refresh token is rotated, its third successor pending."""
    await store.persisted_grants.store(RAW_BYTES)
    await store.persisted_grants.store(RAW_TEXT)
    await store.user_consents.store_user_consent(CONSENT)
    await store.reference_tokens.store_reference_token(REFERENCE_TOKEN, family="f1")
    await store.refresh_tokens.store_refresh_token(a_token(), family="f2")
    await store.refresh_tokens.rotate_refresh_token(HANDLES["old"], a_token(description="second"), grace=GRACE)


@pytest.fixture
def raw(mongo_connection, prepared_database):
    return mongo_connection.get_database(
        prepared_database, codec_options=mongo_connection.codec_options.with_options(tz_aware=True)
    )


@pytest.fixture(params=FORMS, ids=["form 1", "form 2"])
def form(request):
    return request.param


@pytest.fixture
async def frozen(raw, mongo_uri, form):
    """A store on a database of the vectors."""
    raw["data_keys"].insert_many(form["data_keys"])
    raw["grants"].insert_many(form["grants"])
    async with MongoStore(mongo_uri, database=raw.name, master_key=MASTER_KEY, clock=FakeClock()) as store:
        yield store


async def test_a_database_of_old_is_read(frozen):
    """Every kind of grant that was ever written comes back as it was."""
    grants, tokens = frozen.persisted_grants, frozen.refresh_tokens
    assert await grants.get("raw bytes") == RAW_BYTES
    assert await frozen.user_consents.get_user_consent("älice", "web") == CONSENT
    assert await frozen.reference_tokens.get_reference_token(HANDLES["reference"]) == REFERENCE_TOKEN
    assert (await tokens.get_refresh_token(HANDLES["old"])).consumed_time == CREATED
    assert await tokens.get_refresh_token(HANDLES["successor"]) == a_token(description="second")
    assert len(await grants.get_all(PersistedGrantFilter(client_ids=["web", "machine"]))) == 5


async def test_a_consumed_grant_of_old_is_read_while_it_is_kept(raw, mongo_uri, form):
    """The consumed grant of the vectors, seen with the clock of its time."""
    raw["data_keys"].insert_many(form["data_keys"])
    raw["grants"].insert_many(each for each in form["grants"] if each["_id"] == "default|raw text")
    raw["grants"].update_many({}, {"$set": {"purge_at": datetime(2100, 1, 1, tzinfo=UTC)}})
    clock = FakeClock(CREATED)
    async with MongoStore(mongo_uri, database=raw.name, master_key=MASTER_KEY, clock=clock) as store:
        assert await store.persisted_grants.get("raw text") == RAW_TEXT


async def test_a_family_of_old_goes_on(frozen):
    """A successor that was stored then is rotated now; the replay of its predecessor revokes the family."""
    rotation = await frozen.refresh_tokens.rotate_refresh_token(HANDLES["successor"], a_token())
    assert rotation.outcome == "rotated"
    replay = await frozen.refresh_tokens.rotate_refresh_token(HANDLES["old"], a_token())
    assert (replay.outcome, replay.token.consumed_time) == ("replayed", CREATED)
    assert await frozen.refresh_tokens.get_refresh_token(rotation.handle) is None


async def test_a_stored_successor_of_old_answers_a_retry(raw, mongo_uri, form):
    """The sealed handle of a successor opens: a retry at the time of the vectors gets it."""
    raw["data_keys"].insert_many(form["data_keys"])
    raw["grants"].insert_many(each for each in form["grants"] if each["_id"] != "default|raw text")
    clock = FakeClock(CREATED)
    async with MongoStore(mongo_uri, database=raw.name, master_key=MASTER_KEY, clock=clock) as store:
        retry = await store.refresh_tokens.rotate_refresh_token(HANDLES["old"], a_token(), grace=GRACE)
        assert (retry.outcome, retry.handle) == ("retried", HANDLES["successor"])


async def test_what_is_written_now_is_what_was_written_then(raw, mongo_uri, monkeypatch):
    """With the same keys, nonces and handles, every stored byte is that of the vectors: the form is frozen."""
    nonces = iter(range(1, 100))
    monkeypatch.setattr(XAES256GCM, "new_nonce", lambda _: bytes([next(nonces)]) * NONCE_BYTES)
    monkeypatch.setattr("mongostore.grants.reference_tokens.new_handle", lambda: HANDLES["reference"])
    handles = iter([HANDLES["old"], HANDLES["successor"]])
    monkeypatch.setattr("mongostore.grants.refresh_tokens.new_handle", lambda: next(handles))
    raw["data_keys"].insert_many(VECTORS["data_keys"])
    clock = FakeClock(CREATED)
    async with MongoStore(mongo_uri, database=raw.name, master_key=MASTER_KEY, clock=clock) as store:
        raw["grants"].drop_index("expiry")  # The clock stands in the past, and the real monitor would take some.
        await write_everything(store)
    assert list(raw["grants"].find(sort=[("_id", 1)])) == VECTORS["grants"]


async def test_a_closed_family_is_known_by_its_mark(frozen, raw):
    """The mark's `_id` is that of the vectors: a node of another version closes for this one, and this one for it."""
    family, mark = VECTORS["closed_family"]["family"], VECTORS["closed_family"]["_id"]
    payload = next(each["payload"] for each in VECTORS["grants"])
    until = datetime.now(UTC) + timedelta(hours=1)
    raw["grants"].insert_one({"_id": mark, "tenant": "default", "pending": True, "purge_at": until, "payload": payload})
    with pytest.raises(NotFound):
        await frozen.refresh_tokens.store_refresh_token(a_token(), family=family)
    raw["grants"].delete_one({"_id": mark})
    await frozen.refresh_tokens.store_refresh_token(a_token(), family=family)
    assert await frozen.grants.remove_family(family) == 1
    stored = raw["grants"].find_one({"_id": mark})
    assert stored.keys() == {"_id", "tenant", "pending", "purge_at", "payload"}


async def test_a_pending_successor_says_so_and_until_when(raw, prepared_database, open_store, monkeypatch):
    """A record that is not yet live has `pending` and a near `purge_at`; live, it has neither."""
    async with open_store(prepared_database) as store:
        old = await store.refresh_tokens.store_refresh_token(a_token(), family="f")
        seen = []
        make_live = store.refresh_tokens._records.make_live

        async def looking(key):
            seen.extend(raw["grants"].find({"pending": {"$exists": True}}))
            return await make_live(key)

        monkeypatch.setattr(store.refresh_tokens._records, "make_live", looking)
        await store.refresh_tokens.rotate_refresh_token(old, a_token(), grace=GRACE)
        (pending,) = seen
        assert pending["pending"] is True
        assert pending["purge_at"] == store.clock.now() + GRACE + PENDING_MARGIN
        (live,) = raw["grants"].find({"_id": pending["_id"]})
    assert live == {name: value for name, value in pending.items() if name != "pending"} | {
        "purge_at": live["expiration"],
        "anchor": True,
    }


async def test_the_database_itself_removes_what_is_over(raw, prepared_database, open_store):
    """Expired, consumed and pending records go without a job; what never expires stays."""
    async with open_store(prepared_database) as store:
        soon = store.clock.now() - timedelta(seconds=5)
        await store.persisted_grants.store(a_grant("expired", expiration=soon))
        await store.persisted_grants.store(a_grant("live"))
        await store.persisted_grants.store(a_grant("eternal", expiration=None))
        await store.persisted_grants.store(
            a_grant("consumed", expiration=None, consumed_time=store.clock.now() - timedelta(days=2))
        )
    for _ in range(300):
        left = {each["_id"] for each in raw["grants"].find()}
        if left == {"default|live", "default|eternal"}:
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"after a minute there are still {left}")


@pytest.mark.slow
async def test_removal_goes_on_over_a_fail_over(prepare):
    """The primary steps down while thousands of grants are being removed: the call succeeds, and nothing is left."""
    with EmbeddedMongo(members=3) as mongo:
        await prepare("identity", mongo.uri)
        # The time is for the election as well.
        options = StoreOptions(operation_timeout=timedelta(seconds=30))
        async with MongoStore(mongo.uri, database="identity", master_key=MASTER_KEY, options=options) as store:
            await store.persisted_grants.store(a_grant("seed"))
            grants = store.persisted_grants._grants
            seed = await grants.find_one({})
            await grants.insert_many({**seed, "_id": f"default|{number}"} for number in range(40_000))
            stepping_down = threading.Thread(target=mongo.step_down)
            stepping_down.start()
            removed = 0
            while stepping_down.is_alive() or await grants.count_documents({}):
                removed += await store.persisted_grants.remove_all(PersistedGrantFilter(subject_id="alice"))
            stepping_down.join()
            # A lower bound: what the old primary removed without being heard is not counted.
            assert 0 <= removed <= 40_001
            assert await grants.count_documents({}) == 0


async def test_a_removal_that_needs_more_time_than_an_operation_has_goes_on(
    prepared_database, open_store, mongo_connection
):
    """20,001 grants are removed and listed where one operation has less time than that takes; the number is exact."""
    grants = mongo_connection[prepared_database]["grants"]
    async with open_store(prepared_database) as store:
        await store.persisted_grants.store(a_grant("k"))
        document = grants.find_one({"_id": "default|k"})
        grants.insert_many({**document, "_id": f"default|{number}"} for number in range(20_000))
        store._connection.operation_seconds = 0.3
        # The copies' payloads are bound to the key of the first.
        assert len(await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))) == 1
        removed = await store.persisted_grants.remove_all(PersistedGrantFilter(subject_id="alice"))
    assert removed == 20_001
    assert grants.count_documents({}) == 0
