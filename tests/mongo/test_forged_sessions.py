"""What somebody without keys writes into a session is not believed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from mongostore import LocalMasterKey, MongoStore, PayloadUnreadable, StoreOptions
from mongostore.events import StoreEvent
from mongostore.models import RemoveSessionsContext, SessionFilter
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_session, a_ticket

FAR = datetime(2090, 1, 1, tzinfo=UTC)
ALICE = SessionFilter(subject_id="alice")


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
def raw(mongo_connection: MongoClient[dict[str, Any]], prepared_database: str) -> Collection[dict[str, Any]]:
    return mongo_connection[prepared_database]["sessions"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("scheme", "other"),
        ("subject_id", "admin"),
        ("session_id", "other"),
        ("display_name", "Administrator"),
        ("created", FAR),
        ("renewed", FAR),
        ("expires", FAR),
        ("expires", None),
        ("ended", FAR),
    ],
)
async def test_a_changed_column_of_a_session_is_not_believed(store, raw, told, column, value):
    """Whose a session is, since when and until when, is sealed with its ticket."""
    await store.server_side_sessions.create_session(a_session("key"))
    raw.update_one({}, {"$set": {column: value}} if value else {"$unset": {column: ""}})
    with pytest.raises(PayloadUnreadable, match=column):
        await store.server_side_sessions.get_session("key")
    assert {event.collection for event in told if event.kind == "tampered"} == {"sessions"}


async def test_a_ticket_of_somebody_else_signs_nobody_in(store, raw):
    """A ticket whose session was given to another subject does not sign in, neither of them."""
    key = await store.tickets.store(a_ticket())
    raw.update_one({}, {"$set": {"subject_id": "admin"}})
    assert await store.tickets.retrieve(key) is None
    assert await store.tickets.retrieve(key, slide=True) is None


async def test_a_session_is_neither_prolonged_nor_brought_back(store, raw):
    """What has ended, or has expired, does not come back by a change of what stands beside the payload."""
    now = store.clock.now()
    ended, expired = (
        await store.tickets.store(a_ticket(expires=now + timedelta(hours=1))),
        await store.tickets.store(a_ticket("bob", expires=now + timedelta(hours=1))),
    )

    async def undelivered(_: object) -> None:
        raise RuntimeError

    await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=undelivered)
    store.clock.advance(timedelta(hours=2))
    for change in (
        {"$set": {"expires": FAR, "purge_at": FAR, "due_at": FAR}},
        {"$unset": {"ended": "", "claim": ""}},
        {"$unset": {"expires": "", "purge_at": ""}},
    ):
        raw.update_many({}, change)
        for key in (ended, expired):
            assert await store.tickets.retrieve(key) is None
            assert await store.tickets.retrieve(key, slide=True) is None
