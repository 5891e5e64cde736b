"""What somebody who writes to MongoDB without a key can make of sessions: nothing but hide them, or put one back whole."""

from contextlib import suppress
from datetime import timedelta

import pytest
from bson import CodecOptions

from mongostore.errors import MongostoreError, PayloadUnreadable
from mongostore.models import RemoveSessionsContext, SessionFilter
from mongostore.protection.columns import without_columns
from mongostore.stores import LogoutState
from mongostore.testing.factories import a_client, a_session, a_ticket

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
ALICE = RemoveSessionsContext(subject_id="alice")


@pytest.fixture
def raw(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["sessions"].with_options(codec_options=CodecOptions(tz_aware=True))


@pytest.fixture
def told():
    return []


@pytest.fixture
async def store(open_store, prepared_database, told):
    async with open_store(prepared_database, on_event=told.append) as opened:
        yield opened


async def unreachable(_):
    raise ConnectionError


@pytest.mark.parametrize(
    ("column", "forged"),
    [
        ("subject_id", "admin"),
        ("session_id", "s2"),
        ("scheme", "admin"),
        ("display_name", "Admin"),
        ("created", timedelta(days=1)),
        ("renewed", timedelta(days=1)),
        ("expires", timedelta(days=300)),
        ("expires", None),
        ("expires", "never"),
        ("subject_id", ["alice"]),
        ("created", None),
    ],
    ids=str,
)
async def test_a_changed_column_is_not_believed(store, raw, told, column, forged):
    """Whoever reads, slides, changes or ends the session sees that it was changed, and an event tells of it."""
    sessions = store.server_side_sessions
    key = await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
    value = store.clock.now() + forged if isinstance(forged, timedelta) else forged
    raw.update_one({}, {"$unset": {column: ""}} if value is None else {"$set": {column: value}})
    for reads in (
        sessions.get_session(key),
        sessions.slide_session(key),
        sessions.change_session(key, lambda session: session),
        store.tickets.add_client(key, "shop"),
        store.tickets.renew(key, a_ticket()),
    ):
        with pytest.raises(PayloadUnreadable):
            await reads
    assert await store.tickets.retrieve(key) is None
    assert {(event.kind, event.collection) for event in told} == {("tampered", "sessions")}


async def test_a_session_is_not_given_to_somebody_else(store, raw):
    """Under a forged subject no page shows it as theirs, and no token is valid by it."""
    await store.tickets.store(a_ticket())
    raw.update_one({}, {"$set": {"subject_id": "admin"}})
    for reads in (
        store.server_side_sessions.get_sessions(SessionFilter(subject_id="admin")),
        store.sessions.query(),
        store.sessions.validate_session("admin", "s1", a_client(coordinate_lifetime_with_user_session=True)),
    ):
        with pytest.raises(PayloadUnreadable):
            await reads


async def test_an_expired_session_is_not_prolonged(store, raw):
    """Another expiry beside it, and whatever goes with that, makes it unreadable; never alive."""
    start = store.clock.now()
    key = await store.tickets.store(a_ticket(issued=start, expires=start + HOUR))
    store.clock.advance(HOUR)
    later = store.clock.now() + HOUR
    raw.update_one({}, {"$set": {"expires": later, "due_at": later, "purge_at": later, "renewed": store.clock.now()}})
    assert await store.tickets.retrieve(key) is None
    assert await store.tickets.retrieve(key, slide=True) is None
    with pytest.raises(PayloadUnreadable):
        await store.tickets.renew(key, a_ticket())


@pytest.mark.parametrize("pending", ["just marked", "kept for a client"])
async def test_an_end_is_not_taken_back(store, raw, pending):
    """With its mark taken off and its expiry restored, an ended session is not alive again, nor renewed."""
    key = await store.tickets.store(a_ticket())
    before = raw.find_one()
    if pending == "just marked":
        await store.server_side_sessions.end_session(key, lambda _: LogoutState(), MINUTE)
    else:
        await store.sessions.end(ALICE, on_logout=unreachable)
    clear = {name: value for name, value in before.items() if name != "payload"}
    raw.update_one({}, {"$set": clear, "$unset": {"ended": "", "claim": ""}})
    assert await store.tickets.retrieve(key) is None
    with pytest.raises(PayloadUnreadable):
        await store.tickets.renew(key, a_ticket())
    with pytest.raises(PayloadUnreadable):
        await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))


async def test_a_live_session_is_not_processed(store, raw):
    """Whoever puts forward when its logout is due does not have anybody told, nor tokens revoked."""
    key = await store.tickets.store(a_ticket())
    raw.update_one({}, {"$set": {"due_at": store.clock.now() - HOUR, "claim": "x"}})
    seen = []
    assert await store.sessions.process_expired(seen.append) == 0
    assert await store.server_side_sessions.acknowledge_expired_sessions([key]) == 0
    assert seen == []
    assert await store.tickets.retrieve(key) is not None


async def test_a_forged_end_tells_nobody(store, raw, caplog):
    """A session that was marked as ended from outside can't be read: it is hidden, and logged, and nothing follows."""
    key = await store.tickets.store(a_ticket())
    now = store.clock.now()
    raw.update_one({}, {"$set": {"expires": now - HOUR, "ended": now - HOUR, "due_at": now - HOUR}})
    seen = []
    with pytest.raises(PayloadUnreadable):
        await store.sessions.process_expired(seen.append)
    assert seen == []
    assert await store.tickets.retrieve(key) is None


async def test_a_record_put_back_whole_is_what_it_was(store, raw):
    """This is what remains: who kept a whole earlier record can bring that back, until it expires by its own time."""
    start = store.clock.now()
    key = await store.tickets.store(a_ticket(issued=start, expires=start + HOUR))
    kept = raw.find_one()
    await store.sessions.end(ALICE)
    raw.insert_one(kept)
    assert await store.tickets.retrieve(key) is not None
    store.clock.advance(HOUR)
    assert await store.tickets.retrieve(key) is None


@pytest.mark.parametrize("wrong", ["soon", 7, None], ids=repr)
@pytest.mark.parametrize("field", ["begun", "due_at", "purge_at", "claim", "ended", "expires"])
async def test_a_field_of_another_kind_breaks_nothing(store, raw, field, wrong):
    """What can't be is not believed, or not looked at; no call fails otherwise than by our own errors."""
    sessions = store.server_side_sessions
    key = await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
    await sessions.create_session(a_session("good", session_id="s2", expires=store.clock.now() + HOUR))
    raw.update_many({}, {"$set": {field: wrong}})
    for _ in range(2):
        for call in (
            lambda: sessions.get_session(key),
            lambda: sessions.slide_sessions(SessionFilter(subject_id="alice")),
            lambda: sessions.has_begun_since(SessionFilter(subject_id="alice"), store.clock.now()),
            lambda: store.tickets.renew(key, a_ticket(expires=store.clock.now() + HOUR)),
            lambda: store.sessions.process_expired(lambda _: None),
            lambda: sessions.create_session(a_session("good")),
            lambda: store.sessions.end(RemoveSessionsContext(session_id="s1"), on_logout=unreachable),
        ):
            with suppress(MongostoreError):
                await call()
        store.clock.advance(2 * HOUR)


async def test_the_clear_text_of_an_old_record_is_sealed_at_its_next_write(store, raw):
    """A record of the old form is read as it is; once it slides, its columns are compared."""
    start = store.clock.now()
    key = await store.tickets.store(a_ticket(issued=start, expires=start + HOUR))
    store.clock.advance(HOUR / 2)
    found, codec = raw.find_one(), store.server_side_sessions._codec
    plaintext = await codec._protector.open(found["payload"], codec._context(found["_id"]))
    _, old = without_columns(plaintext)
    raw.update_one({}, {"$set": {"payload": await codec._protector.seal(old, codec._context(found["_id"]))}})
    raw.update_one({}, {"$set": {"subject_id": "bob"}})
    assert (await store.server_side_sessions.get_session(key)).subject_id == "bob"
    raw.update_one({}, {"$set": {"subject_id": "alice"}})
    assert await store.tickets.retrieve(key, slide=True) is not None
    raw.update_one({}, {"$set": {"subject_id": "bob"}})
    with pytest.raises(PayloadUnreadable):
        await store.server_side_sessions.get_session(key)
