"""Removing expired sessions on MongoDB while somebody else is at the same ones: what is given was removed, and by us."""

from datetime import timedelta

import pytest

from mongostore.testing.factories import a_session

HOUR = timedelta(hours=1)


@pytest.fixture
def raw(mongo_connection, prepared_database):
    """The collection, behind the store's back."""
    return mongo_connection[prepared_database]["sessions"]


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"$unset": {"claim": ""}},
        {"$set": {"claim": "another node's"}},
    ],
    ids=["it goes on", "another node claims it"],
)
async def test_what_is_not_ours_any_more_is_neither_removed_nor_given(store, raw, wire, meanwhile):
    """A session that changes hands between its claim and its removal stays; the other ones are removed and given."""
    for key in ("a", "b", "c"):
        await store.server_side_sessions.create_session(a_session(key, expires=store.clock.now() + HOUR))
    store.clock.advance(HOUR)
    lost = raw.find_one({})["_id"]

    def change_hands(_, command):
        if "delete" in command:
            wire.before_sending = None
            raw.update_one({"_id": lost}, meanwhile)

    wire.before_sending = change_hands
    removed = await store.server_side_sessions.get_and_remove_expired_sessions(10)
    assert wire.before_sending is None
    assert len(removed) == 2
    assert [document["_id"] for document in raw.find()] == [lost]
