"""What the session service does on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from collections.abc import Callable
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

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=5)
# Real time: `run` sleeps by the machine's clock. Only a failure waits this long.
PATIENCE_SECONDS = 10

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
        """The clients given, of those in the session; nobody without the flag."""
        await store.tickets.store(a_ticket(client_ids=["web", "shop"]))
        await store.tickets.store(a_ticket(session_id="s2", client_ids=["shop"]))
        told = set()

        async def tell(session: UserSession) -> None:
            told.add((session.session_id, *session.client_ids))

        assert await store.sessions.end(RemoveSessionsContext(subject_id="alice", **context), on_logout=tell) == 2
        assert told == expected

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
        """Everybody is never meant by accident."""
        for wrong in (None, SessionFilter(subject_id="alice")):
            with pytest.raises(TypeError):
                await store.sessions.end(wrong)
        nobody = RemoveSessionsContext(subject_id="a").model_copy(update={"subject_id": None})
        with pytest.raises(ValueError, match="subject_id"):
            await store.sessions.end(nobody)

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


class SessionExpiryContract:
    """Processing expired sessions, at least once each."""

    async def test_expired_sessions_are_processed_and_forgotten(self, store: Any) -> None:
        """The callback gets each of a batch once, the longest expired first, and then they are gone."""
        await self._store_expired(store, 5)
        seen: list[ServerSideSession] = []

        async def process(session: ServerSideSession) -> None:
            seen.append(session)

        assert await store.sessions.process_expired(process, count=3) == 3
        assert await store.sessions.process_expired(process, count=3) == 2
        assert await store.sessions.process_expired(process, count=3) == 0
        assert [session.key for session in seen] == [f"k{number}" for number in range(5)]
        store.clock.advance(HOUR)
        assert await store.sessions.process_expired(process) == 0

    async def test_a_failing_session_holds_up_no_other(self, store: Any) -> None:
        """When the callback raises for one session, the others are processed, and that one comes after its lease."""
        await self._store_expired(store, 3)
        seen: list[str] = []
        broken = True

        async def process(session: ServerSideSession) -> None:
            seen.append(session.key)
            if session.key == "k0" and broken:
                raise ConnectionError

        assert await store.sessions.process_expired(process, lease=MINUTE) == 2
        assert await store.sessions.process_expired(process, lease=MINUTE) == 0
        store.clock.advance(MINUTE)
        assert await store.sessions.process_expired(process, lease=MINUTE) == 0
        broken = False
        store.clock.advance(MINUTE)
        assert await store.sessions.process_expired(process, lease=MINUTE) == 1
        assert seen == ["k0", "k1", "k2", "k0", "k0"]

    async def test_who_dies_loses_nothing(self, store: Any) -> None:
        """A session whose processing is cancelled in the middle comes again."""
        await self._store_expired(store, 2)
        reached = asyncio.Event()

        async def hang(_: ServerSideSession) -> None:
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.sessions.process_expired(hang))
        await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen: list[ServerSideSession] = []
        assert await store.sessions.process_expired(seen.append) == 0
        store.clock.advance(MINUTE)
        assert await store.sessions.process_expired(seen.append) == 2
        assert {session.key for session in seen} == {"k0", "k1"}

    async def test_tokens_that_follow_the_session_go_with_it(self, store: Any) -> None:
        """At expiry, the tokens of coordinated clients are revoked; those of others have their own lifetime."""
        await store.clients.save_client(a_client("web", coordinate_lifetime_with_user_session=True))
        await store.clients.save_client(a_client("shop"))
        expires = store.clock.now() + MINUTE
        await store.tickets.store(a_ticket(expires=expires, client_ids=["web", "shop"]))
        await store.persisted_grants.store(a_grant("web", client_id="web"))
        await store.persisted_grants.store(a_grant("shop", client_id="shop"))
        store.clock.advance(MINUTE)
        assert await store.sessions.process_expired(lambda _: None) == 1
        assert await store.persisted_grants.get("web") is None
        assert await store.persisted_grants.get("shop") is not None

    async def test_run_processes_everything_until_cancelled(self, store: Any) -> None:
        """It works through all batches at once, looks again every interval, and stops when cancelled."""
        await self._store_expired(store, 25)
        seen: list[ServerSideSession] = []
        async with self._running(store, seen.append):
            await self._until(lambda: len(seen) == 25)
            await store.server_side_sessions.create_session(a_session("late", expires=store.clock.now()))
            await self._until(lambda: len(seen) == 26)
        assert len({session.key for session in seen}) == 26
        await store.server_side_sessions.create_session(a_session("later", expires=store.clock.now()))
        await asyncio.sleep(0.05)
        assert len(seen) == 26

    async def test_two_runs_process_each_session_once(self, store: Any) -> None:
        """Two at once share the work: nothing is processed twice while nobody dies."""
        await self._store_expired(store, 30)
        seen: list[ServerSideSession] = []
        async with self._running(store, seen.append), self._running(store, seen.append):
            await self._until(lambda: len(seen) >= 30)
            await asyncio.sleep(0.05)
        assert sorted(session.key for session in seen) == sorted(f"k{number}" for number in range(30))

    async def test_run_survives_a_failing_callback(self, store: Any) -> None:
        """A callback that raises stops neither the run nor the other sessions."""
        await self._store_expired(store, 12)
        seen: list[str] = []

        def process(session: ServerSideSession) -> None:
            seen.append(session.key)
            if session.key == "k3" and seen.count("k3") == 1:
                raise ValueError("not now")

        async with self._running(store, process):
            await self._until(lambda: len(seen) == 12)
            store.clock.advance(MINUTE)
            await self._until(lambda: seen.count("k3") == 2)
        assert len(seen) == 13

    async def test_an_interval_is_positive(self, store: Any) -> None:
        """A run that never pauses is refused."""
        with pytest.raises(ValueError, match="interval"):
            await store.sessions.run(print, interval=timedelta(0))

    async def _store_expired(self, store: Any, count: int) -> None:
        now = store.clock.now()
        for number in range(count):
            expires = now + HOUR + timedelta(milliseconds=number)
            await store.server_side_sessions.create_session(a_session(f"k{number}", expires=expires))
        store.clock.advance(HOUR + timedelta(milliseconds=count))

    def _running(self, store: Any, callback: Callable[[ServerSideSession], Any]) -> "_Run":
        return _Run(store, callback)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - the condition is about what callbacks have seen
                await asyncio.sleep(SOON.total_seconds())


class _Run:
    """`sessions.run` as long as the block lasts."""

    def __init__(self, store: Any, callback: Callable[[ServerSideSession], Any]) -> None:
        self._store = store
        self._callback = callback

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._store.sessions.run(self._callback, interval=SOON))

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=PATIENCE_SECONDS)
        assert self._task.cancelled()
