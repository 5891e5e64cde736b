"""What the session service does with sessions that are alive, on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

from datetime import timedelta
from typing import Any

import pytest

from mongostore.models import (
    PersistedGrantFilter,
    PersistedGrantType,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
    UserSession,
)
from mongostore.testing.factories import a_client, a_grant, a_session, a_ticket

HOUR = timedelta(hours=1)

TOKENS = {"refresh_token", "reference_token", "authorization_code", "ciba"}
CONSENT = "user_consent"


class SessionServiceContract:
    """Listing and ending sessions, and coordinating tokens with them."""

    async def test_a_query_gives_user_sessions(self, store: Any) -> None:
        """A page holds what the tickets tell of issuer and clients, pages as the store does, and keeps tickets opaque."""
        ticket = a_ticket()
        key = await store.tickets.store(ticket)
        await store.server_side_sessions.create_session(a_session(display_name="Zoe", ticket=b"own"))
        first = await store.sessions.query(SessionQuery(count_requested=1))
        assert (first.has_next_results, first.total_count, first.current_page) == (True, 2, 1)
        session = await store.server_side_sessions.get_session(key)
        assert first.results == [
            UserSession(
                subject_id="alice",
                session_id="s1",
                created=session.created,
                renewed=session.renewed,
                expires=ticket.expires,
                issuer="https://id.example.com",
                client_ids=["web"],
                authentication_ticket=session.ticket,
            )
        ]
        second = await store.sessions.query(SessionQuery(count_requested=1, results_token=first.results_token))
        [own] = second.results
        assert (own.display_name, own.authentication_ticket, own.client_ids) == ("Zoe", b"own", [])

    async def test_end_ends_everything_of_a_subject(self, store: Any) -> None:
        """By default, sessions, tokens and consents of a subject go; the sessions are counted; others stay."""
        await self._store_everything(store)
        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice")) == 2
        assert await self._left(store, "alice") == set()
        assert await self._left(store, "bob") != set()
        assert await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice")) == []
        assert len(await store.server_side_sessions.get_sessions(SessionFilter(subject_id="bob"))) == 1
        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice")) == 0

    async def test_end_of_one_session_leaves_the_others(self, store: Any) -> None:
        """With subject and session id, only that session and its grants go."""
        before = await self._store_everything(store)
        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice", session_id="s1")) == 1
        gone = {key for key in before if key.startswith("alice s1") and key.split()[-1] in {*TOKENS, CONSENT}}
        assert await self._left(store, "alice") == before - gone
        [left] = await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))
        assert left.session_id == "s2"

    @pytest.mark.parametrize(
        ("flags", "types"),
        [
            ({"revoke_tokens": False}, {CONSENT}),
            ({"revoke_consents": False}, TOKENS),
            ({"revoke_tokens": False, "revoke_consents": False}, set()),
        ],
    )
    async def test_end_revokes_what_the_flags_say(self, store: Any, flags: dict[str, Any], types: set[str]) -> None:
        """Without a flag, its grants stay."""
        before = await self._store_everything(store)
        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice", **flags)) == 2
        assert await self._left(store, "alice") == {key for key in before if key.split()[-1] not in types}

    @pytest.mark.parametrize("client_ids", [["web"], ["web", "shop"], ["nobody"], []])
    async def test_end_revokes_only_the_clients_given(self, store: Any, client_ids: list[str]) -> None:
        """Only these clients lose their grants, and an empty list means none; the sessions end all the same."""
        before = await self._store_everything(store)
        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice", client_ids=client_ids)) == 2
        lost = {key for key in before if key.split()[2] in client_ids and key.split()[-1] in {*TOKENS, CONSENT}}
        assert await self._left(store, "alice") == before - lost

    async def test_end_can_leave_the_sessions(self, store: Any) -> None:
        """Without `remove_server_side_session` only grants go."""
        await self._store_everything(store)
        context = RemoveSessionsContext(subject_id="alice", remove_server_side_session=False)
        assert await store.sessions.end(context) == 0
        assert len(await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))) == 2

    async def test_end_tells_the_clients_once(self, store: Any) -> None:
        """Each session's clients are told once, and expiry tells nobody again."""
        await store.tickets.store(a_ticket(client_ids=["web", "shop"]))
        await store.tickets.store(a_ticket(session_id="s2", client_ids=["shop"]))
        told: list[UserSession] = []

        async def tell(session: UserSession) -> None:
            told.append(session)

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=tell) == 2
        assert {(session.session_id, *session.client_ids) for session in told} == {
            ("s1", "web", "shop"),
            ("s2", "shop"),
        }
        store.clock.advance(2 * HOUR)
        assert await store.sessions.process_expired(tell) == 0
        assert len(told) == 2

    @pytest.mark.parametrize(
        ("context", "expected"),
        [
            ({"client_ids": ["web"]}, {("s1", "web")}),
            ({"client_ids": ["nobody"]}, set()),
            ({"client_ids": []}, set()),
            ({"send_backchannel_logout_notification": False}, set()),
        ],
    )
    async def test_end_tells_only_who_is_meant(
        self, store: Any, context: dict[str, Any], expected: set[tuple[str, ...]]
    ) -> None:
        """The clients given, of those in the session; nobody without the flag. Nobody else hears of it later."""
        await store.tickets.store(a_ticket(client_ids=["web", "shop"]))
        await store.tickets.store(a_ticket(session_id="s2", client_ids=["shop"]))
        told = set()

        async def tell(session: UserSession) -> None:
            told.add((session.session_id, *session.client_ids))

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice", **context), on_logout=tell) == 2
        assert told == expected
        store.clock.advance(2 * HOUR)
        seen: list[ServerSideSession] = []
        assert await store.sessions.process_expired(seen.append) == 0
        assert seen == []

    async def test_a_logout_that_could_not_be_told_is_told_later(self, store: Any) -> None:
        """When telling fails, the user is signed out all the same, and expiry tells the clients."""
        await store.tickets.store(a_ticket())
        await store.tickets.store(a_ticket(session_id="s2"))

        async def fail_for_one(session: UserSession) -> None:
            if session.session_id == "s1":
                raise ConnectionError

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=fail_for_one) == 2
        assert await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice")) == []
        told: list[ServerSideSession] = []
        assert await store.sessions.process_expired(told.append) == 1
        assert [session.session_id for session in told] == ["s1"]

    async def test_end_needs_a_context_that_names_somebody(self, store: Any) -> None:
        """Everybody is never meant by accident, and nothing is done that a context can't mean."""
        for wrong in (None, SessionFilter(subject_id="alice")):
            with pytest.raises(TypeError):
                await store.sessions.end(wrong)
        nobody = RemoveSessionsContext(subject_id="a").model_copy(update={"subject_id": None})
        with pytest.raises(ValueError, match="subject_id"):
            await store.sessions.end(nobody)
        await store.tickets.store(a_ticket())
        for name, value in (("client_ids", 5), ("revoke_tokens", "perhaps"), ("client_ids", [""])):
            context = RemoveSessionsContext(subject_id="alice").model_copy(update={name: value})
            with pytest.raises((TypeError, ValueError), match=name):
                await store.sessions.end(context)
        assert len(await store.server_side_sessions.get_sessions(SessionFilter(subject_id="alice"))) == 1

    async def test_a_token_is_valid_while_its_session_is(self, store: Any) -> None:
        """For a client whose tokens follow the session, use slides it, and without it the token is not valid."""
        client = a_client(coordinate_lifetime_with_user_session=True)
        start = store.clock.now()
        await store.tickets.store(a_ticket(issued=start, expires=start + HOUR))
        store.clock.advance(HOUR / 2)
        assert await store.sessions.validate_session("alice", "s1", client) is True
        store.clock.advance(HOUR - timedelta(milliseconds=1))
        assert await store.sessions.validate_session("alice", "s2", client) is False
        assert await store.sessions.validate_session("bob", "s1", client) is False
        store.clock.advance(timedelta(milliseconds=1))
        assert await store.sessions.validate_session("alice", "s1", client) is False

    @pytest.mark.parametrize("ids", [(None, "s1"), ("alice", None), ("", "s1"), ("alice", "")], ids=repr)
    async def test_a_token_without_subject_or_session_is_no_one_s(self, store: Any, ids: Any) -> None:
        """A missing id would be that of any session: refused."""
        await store.tickets.store(a_ticket())
        with pytest.raises((TypeError, ValueError), match="_id must"):
            await store.sessions.validate_session(*ids, a_client(coordinate_lifetime_with_user_session=True))

    @pytest.mark.parametrize("wrong", [None, "web", 7], ids=repr)
    async def test_a_token_of_no_client_is_not_valid(self, store: Any, wrong: Any) -> None:
        """A client that was not found must not pass for one whose tokens need no session; so with a session."""
        await store.tickets.store(a_ticket())
        with pytest.raises(TypeError, match="a Client is needed"):
            await store.sessions.validate_session("alice", "s1", wrong)
        with pytest.raises(TypeError, match="a ServerSideSession is needed"):
            await store.sessions.process_logout(wrong)

    async def test_the_use_of_a_token_prolongs_the_sign_in(self, store: Any) -> None:
        """The session that it slides, and no other, is told by its ticket to be renewed now, and to expire later."""
        client = a_client(coordinate_lifetime_with_user_session=True)
        start = store.clock.now()
        ticket = a_ticket(issued=start, expires=start + HOUR)
        other = a_ticket(session_id="s2", issued=start, expires=start + HOUR)
        key, other_key = await store.tickets.store(ticket), await store.tickets.store(other)
        store.clock.advance(HOUR / 2)
        assert await store.sessions.validate_session("alice", "s1", client) is True
        now = store.clock.now()
        assert await store.tickets.retrieve(key) == ticket.model_copy(update={"issued": now, "expires": now + HOUR})
        assert await store.tickets.retrieve(other_key) == other

    @pytest.mark.parametrize("flag", [False, None])
    async def test_other_clients_tokens_have_their_own_lifetime(self, store: Any, flag: bool | None) -> None:
        """Without the client's word, and with the option left alone, no session is needed and none slides."""
        client = a_client(coordinate_lifetime_with_user_session=flag)
        assert await store.sessions.validate_session("alice", "s1", client) is True
        key = await store.tickets.store(ticket := a_ticket())
        store.clock.advance(HOUR / 2)
        assert await store.sessions.validate_session("alice", "s1", client) is True
        assert await store.tickets.retrieve(key) == ticket

    async def test_a_logout_revokes_the_tokens_that_follow_the_session(self, store: Any) -> None:
        """Only coordinated clients of the session lose tokens, and only those of this session."""
        await self._store_clients(store)
        before = await self._store_everything(store)
        key = await store.tickets.store(a_ticket(client_ids=["web", "shop", "deleted"]))
        session = await store.server_side_sessions.get_session(key)
        assert await store.sessions.process_logout(session) == len(TOKENS)
        lost = {f"alice s1 web {grant_type}" for grant_type in TOKENS}
        assert await self._left(store, "alice") == before - lost

    async def _store_clients(self, store: Any) -> None:
        await store.clients.save_client(a_client("web", coordinate_lifetime_with_user_session=True))
        await store.clients.save_client(a_client("shop", coordinate_lifetime_with_user_session=False))
        await store.clients.save_client(a_client("tv", coordinate_lifetime_with_user_session=True))

    async def _store_everything(self, store: Any) -> set[str]:
        """Two sessions of alice, one of bob, and grants of every type to two clients in each; the keys of alice's."""
        mine = set()
        for subject, session in (("alice", "s1"), ("alice", "s2"), ("bob", "s1")):
            await store.server_side_sessions.create_session(a_session(subject_id=subject, session_id=session))
            for client in ("web", "shop"):
                for grant_type in PersistedGrantType:
                    key = f"{subject} {session} {client} {grant_type}"
                    await store.persisted_grants.store(
                        a_grant(key, subject_id=subject, session_id=session, client_id=client, type=grant_type.value)
                    )
                    mine |= {key} if subject == "alice" else set()
        # The types that no flag names stay in any case.
        for key in [key for key in mine if key.split()[-1] not in {*TOKENS, CONSENT}]:
            await store.persisted_grants.remove(key)
            mine.remove(key)
        return mine

    async def _left(self, store: Any, subject_id: str) -> set[str]:
        grants = await store.persisted_grants.get_all(PersistedGrantFilter(subject_id=subject_id))
        return {grant.key for grant in grants}
