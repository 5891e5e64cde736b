"""What the session service does with sessions that have expired, on every backend.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongostore.errors import NotFound
from mongostore.models import RemoveSessionsContext, ServerSideSession
from mongostore.sessions.user_sessions import user_session
from mongostore.testing.factories import a_client, a_grant, a_refresh_token, a_session, a_ticket

HALF_A_MINUTE = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)
GRACE = timedelta(days=7)
HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=5)
# Real time: `run` sleeps by the machine's clock. Only a failure waits this long.
PATIENCE_SECONDS = 60


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
        """When the callback raises for one session, the others are processed, and that one comes after a pause."""
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

    async def test_clients_are_told_one_by_one(self, store: Any) -> None:
        """Who was told is not told again; who could not be told is tried again, after longer and longer pauses."""
        expires = store.clock.now() + HOUR
        await store.tickets.store(a_ticket(expires=expires, client_ids=["web", "dead", "shop"]))
        store.clock.advance(HOUR)
        told: list[list[str]] = []

        async def tell(session: ServerSideSession) -> list[str]:
            told.append(user_session(session).client_ids)
            return ["dead"]

        pauses = []
        for attempt in range(10):
            waited = timedelta(0)
            while len(told) == attempt:
                assert await store.sessions.process_expired(tell) == 0
                if len(told) == attempt:
                    waited += HALF_A_MINUTE
                    store.clock.advance(HALF_A_MINUTE)
            pauses.append(waited)
        assert told == [["web", "dead", "shop"]] + [["dead"]] * 9
        assert pauses == [timedelta(0)] + [min(HALF_A_MINUTE * 2**number, HOUR) for number in range(9)]
        store.clock.advance(HOUR)
        assert await store.sessions.process_expired(lambda _: None) == 1
        store.clock.advance(GRACE)
        assert await store.sessions.process_expired(tell) == 0
        assert len(told) == 10

    @pytest.mark.parametrize("way", ["expired", "ended"])
    async def test_a_client_that_is_never_reached_is_given_up(self, store: Any, way: str) -> None:
        """The last attempt is made when the grace is over; then the record goes, and nothing comes any more."""
        await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR, client_ids=["dead", "web"]))
        calls: list[list[str]] = []

        async def tell(session: Any) -> list[str]:
            calls.append(user_session(session).client_ids if way == "expired" else ["dead"])
            return ["dead"]

        if way == "ended":
            assert await store.sessions.end(RemoveSessionsContext(subject_id="alice"), on_logout=tell) == 1
        else:
            store.clock.advance(HOUR)
        begun = store.clock.now()
        while store.clock.now() < begun + GRACE:
            await store.sessions.process_expired(tell)
            store.clock.advance(HOUR)
        attempts = len(calls)
        assert attempts >= GRACE // HOUR
        assert await store.sessions.process_expired(tell) == 0
        assert len(calls) == attempts + 1
        for _ in range(3):
            store.clock.advance(GRACE / 2)
            assert await store.sessions.process_expired(tell) == 0
        assert len(calls) == attempts + 1

    @pytest.mark.parametrize("wrong", ["web", 7, {"web": False}, [None]], ids=repr)
    async def test_what_a_callback_may_not_return_is_a_failure(self, store: Any, wrong: Any) -> None:
        """Something else than None or a list of client ids tells nobody: all are told again."""
        await store.tickets.store(a_ticket(expires=store.clock.now() + HOUR))
        store.clock.advance(HOUR)
        assert await store.sessions.process_expired(lambda _: wrong) == 0
        store.clock.advance(MINUTE)
        told: list[ServerSideSession] = []
        assert await store.sessions.process_expired(told.append) == 1

    async def test_a_ticket_of_the_server_s_own_is_told_as_a_whole(self, store: Any) -> None:
        """Whose clients are not known comes again as it was while any could not be told."""
        await store.server_side_sessions.create_session(session := a_session("k", expires=store.clock.now() + HOUR))
        store.clock.advance(HOUR)
        assert await store.sessions.process_expired(lambda _: ["of its own"]) == 0
        store.clock.advance(MINUTE)
        told: list[ServerSideSession] = []
        assert await store.sessions.process_expired(told.append) == 1
        assert told == [session]

    async def test_nothing_issued_meanwhile_outlives_the_session(self, store: Any) -> None:
        """A token that is issued while the clients are told goes with those that were there before."""
        await store.clients.save_client(a_client("web", coordinate_lifetime_with_user_session=True))
        await store.tickets.store(a_ticket(expires=store.clock.now() + MINUTE))
        store.clock.advance(MINUTE)
        issued = []

        async def issue(_: ServerSideSession) -> None:
            issued.append(await store.refresh_tokens.store_refresh_token(a_refresh_token()))

        assert await store.sessions.process_expired(issue) == 1
        assert await store.refresh_tokens.get_refresh_token(issued[0]) is None

    async def test_a_session_whose_clients_were_told_does_not_go_on(self, store: Any) -> None:
        """Once somebody was told, a node whose clock is behind does not find the session alive, nor prolong it."""
        start = store.clock.now()
        key = await store.tickets.store(a_ticket(issued=start, expires=start + HOUR, client_ids=["web", "dead"]))
        store.clock.advance(HOUR)
        assert await store.sessions.process_expired(lambda _: ["dead"]) == 0
        store.clock.advance(-MINUTE)
        assert await store.tickets.retrieve(key, slide=True) is None
        with pytest.raises(NotFound):
            await store.tickets.renew(key, a_ticket())
        store.clock.advance(2 * MINUTE)
        told: list[list[str]] = []
        assert await store.sessions.process_expired(lambda each: told.append(user_session(each).client_ids)) == 1
        assert told == [["dead"]]

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

    async def test_a_session_that_was_found_expired_is_processed_once(self, store: Any) -> None:
        """Before anybody processed it, it signs nobody in; its user comes back, or signs out, and it ends but once."""
        await store.clients.save_client(client := a_client("web", coordinate_lifetime_with_user_session=True))
        key = await store.tickets.store(a_ticket(expires=store.clock.now() + MINUTE))
        await store.persisted_grants.store(a_grant("token"))
        store.clock.advance(MINUTE)
        assert await store.tickets.retrieve(key, slide=True) is None
        assert await store.sessions.validate_session("alice", "s1", client) is False
        assert await store.tickets.remove(key) is False
        seen: list[ServerSideSession] = []
        assert await store.sessions.process_expired(seen.append) == 1
        assert [(session.key, session.session_id) for session in seen] == [(key, "s1")]
        assert await store.persisted_grants.get("token") is None
        store.clock.advance(HOUR)
        assert await store.sessions.process_expired(seen.append) == 0

    async def test_who_signed_out_is_not_processed_again(self, store: Any) -> None:
        """The logout of a session that was removed in time is the server's; its expiry tells nobody."""
        key = await store.tickets.store(a_ticket(expires=store.clock.now() + MINUTE))
        assert await store.tickets.remove(key) is True
        store.clock.advance(HOUR)
        seen: list[ServerSideSession] = []
        assert await store.sessions.process_expired(seen.append) == 0
        assert seen == []

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

    @pytest.mark.parametrize("tenant", ["default", "acme"])
    async def test_run_serves_one_tenant_and_says_which(
        self, store: Any, tenant: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its log names the tenant at the start, and the sessions of another one are left alone."""
        expires = store.clock.now() + HOUR
        for each in ("default", "acme", "beta"):
            await store.for_tenant(each).server_side_sessions.create_session(a_session(each, expires=expires))
        store.clock.advance(HOUR)
        seen: list[str] = []
        with caplog.at_level(logging.INFO, "mongostore"):
            async with self._running(store.for_tenant(tenant), lambda session: seen.append(session.key)):
                await self._until(lambda: seen != [])
        assert seen == [tenant]
        assert f"sessions of tenant {tenant}, and of no other" in caplog.text

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
