"""What the options say of sessions: whose tokens follow them, and what they are called in lists."""

from datetime import timedelta

import pytest

from mongostore import MemoryStore, StoreOptions
from mongostore.models import Claim, PersistedGrantFilter, Principal, SessionQuery
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_client, a_grant, a_ticket

MINUTE = timedelta(minutes=1)

# The option, what the client says, and whether its tokens follow the session.
COORDINATION = [
    (False, None, False),
    (False, False, False),
    (False, True, True),
    (True, None, True),
    (True, False, False),
    (True, True, True),
]


def a_store(**options) -> MemoryStore:
    return MemoryStore(clock=FakeClock(), options=StoreOptions(**options))


@pytest.mark.parametrize(("option", "said", "follows"), COORDINATION)
async def test_a_token_needs_a_session_if_it_follows_one(option, said, follows):
    """The client's word counts more than the option, and the option where the client says nothing."""
    store = a_store(coordinate_client_lifetimes_with_user_session=option)
    client = a_client(coordinate_lifetime_with_user_session=said)
    assert await store.sessions.validate_session("alice", "s1", client) is not follows
    await store.tickets.store(a_ticket())
    assert await store.sessions.validate_session("alice", "s1", client) is True


@pytest.mark.parametrize("end", ["logout", "expiry"])
@pytest.mark.parametrize(("option", "said", "follows"), COORDINATION)
async def test_the_end_of_a_session_takes_the_tokens_that_follow_it(option, said, follows, end):
    """At a logout as at expiry; the session is processed in any case."""
    store = a_store(coordinate_client_lifetimes_with_user_session=option)
    await store.clients.save_client(a_client(coordinate_lifetime_with_user_session=said))
    key = await store.tickets.store(a_ticket(expires=store.clock.now() + MINUTE))
    await store.persisted_grants.store(a_grant())
    if end == "logout":
        await store.sessions.process_logout(await store.server_side_sessions.get_session(key))
    else:
        store.clock.advance(MINUTE)
        assert await store.sessions.process_expired(lambda _: None) == 1
    left = await store.persisted_grants.get_all(PersistedGrantFilter(subject_id="alice"))
    assert len(left) == (0 if follows else 1)


async def test_by_default_no_token_follows_a_session():
    """As in the reference."""
    assert StoreOptions().coordinate_client_lifetimes_with_user_session is False


async def test_the_tokens_of_a_client_that_is_gone_go_by_the_option():
    """A client that was deleted says nothing any more."""
    for option in (False, True):
        store = a_store(coordinate_client_lifetimes_with_user_session=option)
        key = await store.tickets.store(a_ticket(client_ids=["deleted"]))
        await store.persisted_grants.store(a_grant(client_id="deleted"))
        session = await store.server_side_sessions.get_session(key)
        assert await store.sessions.process_logout(session) == int(option)


async def test_sessions_are_called_by_the_claim_that_the_option_names():
    """The first of its kind; without the claim, or without the option, a session has no name."""
    claims = [Claim("sub", "alice"), Claim("sid", "s1"), Claim("name", "Alice Adams"), Claim("name", "Ally")]
    named = a_ticket().model_copy(update={"principal": Principal(claims, "pwd")})
    store = a_store(user_display_name_claim_type="name")
    key = await store.tickets.store(named)
    await store.tickets.store(a_ticket(session_id="s2"))
    page = await store.sessions.query(SessionQuery(display_name="alice"))
    assert [session.display_name for session in page.results] == ["Alice Adams"]
    await store.tickets.renew(key, a_ticket())
    assert (await store.server_side_sessions.get_session(key)).display_name is None
    unnamed = a_store()
    assert (await unnamed.server_side_sessions.get_session(await unnamed.tickets.store(named))).display_name is None
