"""What the end of a session leaves, whenever it is cut short, and whatever is under way: on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import NotFound
from mongostore.models import RemoveSessionsContext, ServerSideSession, SessionFilter, UserSession
from mongostore.sessions.user_sessions import user_session
from mongostore.testing.factories import a_client, a_consent, a_refresh_token, a_session, a_ticket

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
# Real time. Only a failure waits this long.
PATIENCE_SECONDS = 60


class SessionEndContract:
    """Ending sessions: first of all they are absent, and nothing of them stays alive."""

    async def test_an_ended_session_is_absent_at_once(self, store: Any) -> None:
        """While its clients are told, it is there for nothing and nobody; it can't be renewed, and has ended but once."""
        key = await store.tickets.store(a_ticket())
        client = a_client(coordinate_lifetime_with_user_session=True)
        sessions, alice = store.server_side_sessions, SessionFilter(subject_id="alice")
        seen: list[Any] = []

        async def look(_: UserSession) -> None:
            session = a_session(key, ticket="another")
            for outcome in (sessions.update_session(session), store.tickets.renew(key, a_ticket())):
                with pytest.raises(NotFound):
                    await outcome
            seen.extend(
                [
                    await store.tickets.retrieve(key),
                    await store.tickets.retrieve(key, slide=True),
                    await sessions.change_session(key, lambda session: session),
                    await store.tickets.add_client(key, "late") or None,
                    await store.tickets.remove(key) or None,
                    await sessions.get_sessions(alice) or None,
                    await sessions.slide_sessions(alice) or None,
                    await sessions.delete_sessions(alice) or None,
                    (await store.sessions.query()).results or None,
                    await store.sessions.validate_session("alice", "s1", client) or None,
                    await store.sessions.end(RemoveSessionsContext(subject_id="alice")) or None,
                ]
            )
            raise ConnectionError

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=look) == 1
        assert seen == [None] * 11
        assert await store.sessions.process_expired(lambda _: None) == 1

    @pytest.mark.parametrize("outcome", ["told", "not told"])
    async def test_nothing_issued_meanwhile_outlives_the_session(self, store: Any, outcome: str) -> None:
        """A token that is issued while the clients are told, however long that takes, is gone when `end` returns."""
        await store.tickets.store(a_ticket())
        issued = [await store.refresh_tokens.store_refresh_token(a_refresh_token())]

        async def issue(_: UserSession) -> None:
            issued.append(await store.refresh_tokens.store_refresh_token(a_refresh_token()))
            if outcome == "not told":
                raise ConnectionError

        context = RemoveSessionsContext(subject_id="alice", session_id="s1")
        assert await store.sessions.end(context, on_logout=issue) == 1
        assert [await store.refresh_tokens.get_refresh_token(each) for each in issued] == [None, None]

    @pytest.mark.parametrize("ids", [{"subject_id": "alice"}, {"session_id": "s1"}], ids=str)
    async def test_an_end_that_is_cut_short_is_taken_up(self, store: Any, ids: dict[str, Any]) -> None:
        """Cancelled while the clients are told, it has ended the session all the same; the rest is done by expiry."""
        key = await store.tickets.store(a_ticket(client_ids=["web", "shop"]))
        reached = asyncio.Event()

        async def hang(_: UserSession) -> None:
            reached.set()
            await asyncio.Event().wait()

        context = RemoveSessionsContext(**ids, client_ids=["shop"])
        task = asyncio.create_task(store.sessions.end(context, on_logout=hang))
        await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
        issued = [
            await store.refresh_tokens.store_refresh_token(a_refresh_token(client_id=client))
            for client in ("shop", "web")
        ]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.tickets.retrieve(key) is None
        told: list[ServerSideSession] = []
        assert await store.sessions.process_expired(told.append) == 0
        store.clock.advance(MINUTE)
        assert await store.sessions.process_expired(told.append) == 1
        assert [user_session(session).client_ids for session in told] == [["shop"]]
        assert [await store.refresh_tokens.get_refresh_token(each) is None for each in issued] == [True, False]

    @pytest.mark.parametrize("way", ["ended", "cut short", "expired"])
    async def test_a_pending_logout_leaves_a_later_session_alone(self, store: Any, way: str) -> None:
        """What is issued in a session that began later, under the same ids, is not revoked with the former one."""
        await store.clients.save_client(a_client("web", coordinate_lifetime_with_user_session=True))
        await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
        former = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        context = RemoveSessionsContext(subject_id="alice", session_id="s1")

        async def fail(_: UserSession) -> None:
            raise asyncio.CancelledError if way == "cut short" else ConnectionError

        if way == "expired":
            store.clock.advance(HOUR)
        else:
            with suppress(asyncio.CancelledError):
                await store.sessions.end(context, on_logout=fail)
            assert await store.refresh_tokens.get_refresh_token(former) is None
            store.clock.advance(MINUTE)
        later = await store.tickets.store(a_ticket(expires=store.clock.now() + 2 * HOUR))
        token = await store.refresh_tokens.store_refresh_token(a_refresh_token())
        await store.user_consents.store_user_consent(a_consent(expiration=None))
        told: list[ServerSideSession] = []
        assert await store.sessions.process_expired(told.append) == 1
        assert [session.session_id for session in told] == ["s1"]
        assert await store.refresh_tokens.get_refresh_token(token) is not None
        assert await store.user_consents.get_user_consent("alice", "web") is not None
        assert await store.tickets.retrieve(later) is not None

    @pytest.mark.parametrize(
        ("asked", "left"),
        [
            ({}, {"other"}),
            ({"client_ids": ["web"]}, {"shop", "other"}),
            ({"revoke_consents": False}, {"web", "shop", "other"}),
        ],
        ids=["all clients", "one client", "no consents"],
    )
    @pytest.mark.parametrize("ids", [{"session_id": "s1"}, {"subject_id": "alice", "session_id": "s1"}], ids=str)
    async def test_consents_of_the_session_s_clients_go_when_asked(
        self, store: Any, ids: dict[str, Any], asked: dict[str, Any], left: set[str]
    ) -> None:
        """The user's consents to the clients of the session; other clients' and other users' stay."""
        await store.tickets.store(a_ticket(client_ids=["web", "shop"]))
        for subject in ("alice", "bob"):
            for client in ("web", "shop", "other"):
                consent = a_consent(subject_id=subject, client_id=client, expiration=None)
                await store.user_consents.store_user_consent(consent)
        assert await store.sessions.end(RemoveSessionsContext(**ids, **asked)) == 1
        clients = ("web", "shop", "other")
        assert {each for each in clients if await store.user_consents.get_user_consent("alice", each)} == left
        assert {each for each in clients if await store.user_consents.get_user_consent("bob", each)} == set(clients)

    async def test_only_clients_that_could_not_be_told_are_told_later(self, store: Any) -> None:
        """A callback that names clients is asked for exactly those again."""
        await store.tickets.store(a_ticket(client_ids=["web", "shop", "tv"]))

        async def all_but_two(_: UserSession) -> list[str]:
            return ["web", "tv", "unheard of"]

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=all_but_two) == 1
        told: list[list[str]] = []
        assert await store.sessions.process_expired(lambda each: told.append(user_session(each).client_ids)) == 1
        assert told == [["web", "tv"]]
