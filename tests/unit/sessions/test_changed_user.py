"""Another user under the same cookie: the former one's tokens go, whatever happens while the ticket is replaced."""

import pytest

from mongostore import MemoryStore, StorageUnavailable
from mongostore.models import PersistedGrantFilter
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.tickets import Tickets
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_grant, a_ticket

FORMER = PersistedGrantFilter(subject_id="alice")


class Interrupted:
    """The sessions of a store, with something that happens right before one is updated."""

    def __init__(self, sessions, happens):
        self._sessions = sessions
        self._happens = happens

    def __getattr__(self, name):
        return getattr(self._sessions, name)

    async def update_session(self, session):
        await self._happens()
        await self._sessions.update_session(session)


@pytest.fixture
def store():
    return MemoryStore(clock=FakeClock())


def tickets_of(store, happens):
    sessions = Interrupted(store.server_side_sessions, happens)
    coordination = SessionCoordination(sessions, store.persisted_grants, store.clients, coordinate_by_default=False)
    return Tickets(sessions, coordination, store.clock, None)


async def test_a_token_that_is_issued_meanwhile_goes_as_well(store):
    """A request of the former user that is under way leaves nothing behind."""

    async def issue():
        await store.persisted_grants.store(a_grant("meanwhile"))

    key = await store.tickets.store(a_ticket())
    await store.persisted_grants.store(a_grant("before"))
    await tickets_of(store, issue).renew(key, a_ticket("bob", "s2"))
    assert await store.persisted_grants.get_all(FORMER) == []
    assert (await store.server_side_sessions.get_session(key)).subject_id == "bob"


async def test_when_the_ticket_can_not_be_replaced_the_tokens_are_gone_already(store):
    """Nobody would revoke them later: the session does not tell whose they were."""

    async def fail():
        raise StorageUnavailable("no primary")

    key = await store.tickets.store(a_ticket())
    await store.persisted_grants.store(a_grant())
    with pytest.raises(StorageUnavailable):
        await tickets_of(store, fail).renew(key, a_ticket("bob", "s2"))
    assert await store.persisted_grants.get_all(FORMER) == []
