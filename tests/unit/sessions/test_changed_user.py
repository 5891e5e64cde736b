"""Another user under the same cookie: the former one's session ends, whatever happens meanwhile."""

from datetime import timedelta

import pytest

from mongostore import MemoryStore, NotFound, StorageUnavailable
from mongostore.grants.revocation import Revocation
from mongostore.models import PersistedGrantFilter
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.logouts import Logouts
from mongostore.sessions.tickets import Tickets
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_grant, a_ticket

FORMER = PersistedGrantFilter(subject_id="alice")
MINUTE = timedelta(minutes=1)


class Interrupted:
    """The sessions of a store, with something that happens right before a method is called."""

    def __init__(self, sessions, method, happens):
        self._sessions = sessions
        self._method = method
        self._happens = happens

    def __getattr__(self, name):
        found = getattr(self._sessions, name)
        if name != self._method:
            return found

        async def after(*arguments):
            await self._happens()
            return await found(*arguments)

        return after


@pytest.fixture
def store():
    return MemoryStore(clock=FakeClock())


def tickets_of(store, method, happens):
    sessions = Interrupted(store.server_side_sessions, method, happens)
    revocation = Revocation(store.persisted_grants, store.device_flow, store.pushed_authorization_requests)
    coordination = SessionCoordination(sessions, revocation, store.clients, coordinate_by_default=False)
    return Tickets(sessions, coordination, Logouts(sessions, store.clock, timedelta(days=7)), store.clock, None)


@pytest.mark.parametrize("method", ["end_session", "keep_logout"])
async def test_a_token_that_is_issued_meanwhile_goes_as_well(store, method):
    """A request of the former user that is under way leaves nothing behind."""

    async def issue():
        await store.persisted_grants.store(a_grant("meanwhile"))

    key = await store.tickets.store(a_ticket())
    await store.persisted_grants.store(a_grant("before"))
    new_key = await tickets_of(store, method, issue).renew(key, a_ticket("bob", "s2"))
    assert await store.persisted_grants.get_all(FORMER) == []
    assert (await store.server_side_sessions.get_session(new_key)).subject_id == "bob"


@pytest.mark.parametrize("method", ["end_session", "keep_logout", "create_session"])
async def test_a_renewal_that_fails_leaves_the_former_session_or_its_logout(store, method):
    """Before the former session has ended, it and its tokens are there; afterwards the user signs in again."""

    async def fail():
        raise StorageUnavailable("no primary")

    key = await store.tickets.store(a_ticket())
    await store.persisted_grants.store(a_grant())
    with pytest.raises(StorageUnavailable):
        await tickets_of(store, method, fail).renew(key, a_ticket("bob", "s2"))
    ended = method != "end_session"
    assert (await store.tickets.retrieve(key) is None) == ended
    assert (await store.persisted_grants.get_all(FORMER) == []) == ended
    assert (await store.sessions.query()).total_count == (0 if ended else 1)
    store.clock.advance(MINUTE)
    assert await store.sessions.process_expired(lambda _: None) == ended


async def test_of_two_users_at_once_one_gets_a_session(store):
    """When somebody else has taken over meanwhile, the former session is gone, and no second one begins."""
    key = await store.tickets.store(a_ticket())

    async def renew():
        await store.tickets.renew(key, a_ticket("carol", "s3"))

    with pytest.raises(NotFound):
        await tickets_of(store, "end_session", renew).renew(key, a_ticket("bob", "s2"))
    assert [session.subject_id for session in (await store.sessions.query()).results] == ["carol"]
