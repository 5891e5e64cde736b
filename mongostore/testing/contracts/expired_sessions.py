"""What every `ServerSideSessionStore` does with sessions that have expired.

Subclass with a fixture `store`: an open, empty store that was made with `clock=FakeClock()`.
"""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from mongostore.models import ServerSideSession, SessionFilter
from mongostore.stores.session_logouts import LogoutState
from mongostore.testing.factories import a_session

MILLISECOND = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
GRACE = timedelta(days=7)


class ExpiredSessionContract:
    """Removing, claiming and acknowledging expired sessions."""

    async def test_without_expired_sessions_there_is_nothing_to_do(self, store: Any) -> None:
        """Live sessions, and those without expiry, are neither removed nor claimed."""
        await store.server_side_sessions.create_session(a_session("live", expires=store.clock.now() + HOUR))
        await store.server_side_sessions.create_session(a_session("eternal", expires=None))
        store.clock.advance(HOUR - MILLISECOND)
        assert await store.server_side_sessions.get_and_remove_expired_sessions(10) == []
        assert await store.server_side_sessions.claim_expired_sessions(10, MINUTE) == []
        assert await store.server_side_sessions.acknowledge_expired_sessions(["live", "eternal"]) == 0
        assert await store.server_side_sessions.get_session("live") is not None

    async def test_expired_sessions_are_removed_in_order(self, store: Any) -> None:
        """The longest expired come first, as many as were asked for, with every field; a second call gets the rest.

        They are removed, not only out for a while.
        """
        sessions = store.server_side_sessions
        expired = await self._store_expired(store, 5)
        assert await sessions.get_and_remove_expired_sessions(3) == expired[:3]
        assert await sessions.get_and_remove_expired_sessions(3) == expired[3:]
        assert await sessions.get_and_remove_expired_sessions(3) == []
        store.clock.advance(GRACE / 2)
        assert await sessions.get_and_remove_expired_sessions(3) == []
        assert await sessions.claim_expired_sessions(3, MINUTE) == []

    async def test_each_expired_session_is_removed_by_one(self, store: Any) -> None:
        """Of 10 concurrent removers, each session goes to exactly one."""
        expired = await self._store_expired(store, 30)
        batches = await asyncio.gather(
            *(store.server_side_sessions.get_and_remove_expired_sessions(5) for _ in range(10))
        )
        taken = [session.key for batch in batches for session in batch]
        assert sorted(taken) == sorted(session.key for session in expired)

    @pytest.mark.parametrize("way", ["claimed", "removed"])
    async def test_an_expiry_that_changes_counts_as_it_is(self, store: Any, way: str) -> None:
        """A session that is given an expiry later expires by it; one that loses its own does not."""
        sessions = store.server_side_sessions
        soon = store.clock.now() + HOUR
        await sessions.create_session(given := a_session("given", expires=None))
        await sessions.create_session(cleared := a_session("cleared", expires=soon))
        await sessions.update_session(given.model_copy(update={"expires": soon}))
        await sessions.update_session(cleared.model_copy(update={"expires": None}))
        store.clock.advance(HOUR)
        if way == "claimed":
            expired = await sessions.claim_expired_sessions(10, MINUTE)
        else:
            expired = await sessions.get_and_remove_expired_sessions(10)
        assert [session.key for session in expired] == ["given"]
        assert (await sessions.get_session("cleared")).expires is None

    async def test_a_claim_is_exclusive_until_its_lease_is_over(self, store: Any) -> None:
        """Who claims gets the longest expired; nobody else gets them within the lease, anybody after it."""
        expired = await self._store_expired(store, 3)
        sessions = store.server_side_sessions
        assert await sessions.claim_expired_sessions(2, MINUTE) == expired[:2]
        assert await sessions.claim_expired_sessions(10, 2 * MINUTE) == expired[2:]
        assert await sessions.get_and_remove_expired_sessions(10) == []
        store.clock.advance(MINUTE - MILLISECOND)
        assert await sessions.claim_expired_sessions(10, MINUTE) == []
        store.clock.advance(MILLISECOND)
        assert await sessions.claim_expired_sessions(10, MINUTE) == expired[:2]

    async def test_concurrent_claims_share_nothing(self, store: Any) -> None:
        """Of 10 concurrent claims, each session is in exactly one."""
        expired = await self._store_expired(store, 30)
        batches = await asyncio.gather(
            *(store.server_side_sessions.claim_expired_sessions(5, MINUTE) for _ in range(10))
        )
        taken = [session.key for batch in batches for session in batch]
        assert sorted(taken) == sorted(session.key for session in expired)

    async def test_acknowledging_deletes_what_is_claimed(self, store: Any) -> None:
        """Of the keys that are acknowledged, only expired sessions that were claimed go, and they are counted."""
        await self._store_expired(store, 3)
        sessions = store.server_side_sessions
        await sessions.create_session(a_session("live", expires=store.clock.now() + HOUR))
        await sessions.claim_expired_sessions(2, MINUTE)
        assert await sessions.acknowledge_expired_sessions(["k0", "k2", "live", "unknown"]) == 1
        assert await sessions.get_session("live") is not None
        store.clock.advance(MINUTE)
        assert {session.key for session in await sessions.claim_expired_sessions(10, MINUTE)} == {"k1", "k2"}
        assert await sessions.acknowledge_expired_sessions(iter(["k1", "k2"])) == 2

    async def test_a_late_acknowledgement_counts(self, store: Any) -> None:
        """Who needs longer than the lease has processed the session all the same."""
        await self._store_expired(store, 1)
        await store.server_side_sessions.claim_expired_sessions(1, MINUTE)
        store.clock.advance(HOUR)
        assert await store.server_side_sessions.acknowledge_expired_sessions(["k0"]) == 1

    async def test_a_new_session_under_the_key_keeps_the_logout_pending(self, store: Any) -> None:
        """The new session lives on under the key while the old one is claimed and acknowledged."""
        sessions = store.server_side_sessions
        [old] = await self._store_expired(store, 1)
        new = a_session("k0", session_id="s2", expires=store.clock.now() + HOUR)
        await sessions.create_session(new)
        assert await sessions.claim_expired_sessions(10, MINUTE) == [old]
        assert await sessions.acknowledge_expired_sessions(["k0"]) == 1
        assert await sessions.get_session("k0") == new
        store.clock.advance(MINUTE)
        assert await sessions.claim_expired_sessions(10, MINUTE) == []

    async def test_a_superseded_session_is_over_on_every_node(self, store: Any) -> None:
        """A node whose clock is behind sees the new session alone: the one that lies aside is read and slid by nobody."""
        sessions, alice = store.server_side_sessions, SessionFilter(subject_id="alice")
        [old] = await self._store_expired(store, 1)
        await sessions.create_session(new := a_session("k0", session_id="s2", expires=store.clock.now() + HOUR))
        store.clock.advance(-MINUTE)
        assert await sessions.get_sessions(alice) == [new]
        page = await sessions.query_sessions()
        assert (page.results, page.total_count) == ([new], 1)
        assert await sessions.slide_sessions(SessionFilter(session_id="s1")) == 0
        assert await sessions.delete_sessions(SessionFilter(session_id="s1")) == 0
        assert await sessions.claim_expired_sessions(10, MINUTE) == []
        store.clock.advance(MINUTE)
        assert await sessions.claim_expired_sessions(10, MINUTE) == [old]
        store.clock.advance(-MINUTE)
        assert await sessions.acknowledge_expired_sessions(["k0"]) == 1
        assert await sessions.get_session("k0") == new

    async def test_an_ended_session_is_processed_like_one_that_expired(self, store: Any) -> None:
        """Its logout is claimed by whoever ended it; later it is claimed, acknowledged, removed, and its key is free."""
        sessions = store.server_side_sessions
        for key in ("a", "b"):
            await sessions.create_session(a_session(key, expires=None))
        for key in ("a", "b"):
            logout = await sessions.end_session(key, lambda _: LogoutState(), MINUTE)
            assert (logout.session.key, logout.over_at) == (key, store.clock.now())
        assert await sessions.end_session("a", lambda _: LogoutState(), MINUTE) is None
        assert await sessions.claim_expired_sessions(10, MINUTE) == []
        await sessions.create_session(a_session("a", session_id="s2", expires=None))
        store.clock.advance(MINUTE)
        claimed = await sessions.claim_expired_sessions(10, MINUTE)
        assert {(each.key, each.session_id, each.expires) for each in claimed} == {("a", "s1", None), ("b", "s1", None)}
        assert await sessions.acknowledge_expired_sessions(["a"]) == 1
        store.clock.advance(MINUTE)
        assert [each.key for each in await sessions.get_and_remove_expired_sessions(10)] == ["b"]
        assert (await sessions.get_session("a")).session_id == "s2"

    async def test_one_of_many_ends_a_session(self, store: Any) -> None:
        """Of 10 who end it at once, and 10 who change it, one ends it, and it has ended."""
        sessions = store.server_side_sessions
        await sessions.create_session(session := a_session("k"))

        def renamed(former: ServerSideSession) -> ServerSideSession:
            return former.model_copy(update={"display_name": f"{former.display_name}."})

        outcomes = await asyncio.gather(
            *(sessions.end_session("k", lambda _: LogoutState(), MINUTE) for _ in range(10)),
            *(sessions.change_session("k", renamed) for _ in range(10)),
        )
        [logout] = [each for each in outcomes[:10] if each]
        changes = len([each for each in outcomes[10:] if each])
        assert logout.session.display_name == f"{session.display_name}{'.' * changes}"
        assert await sessions.get_session("k") is None

    async def test_a_logout_is_kept_by_who_has_it(self, store: Any) -> None:
        """How far it has come is known to the next one; who comes late with an earlier state changes nothing."""
        sessions = store.server_side_sessions
        await sessions.create_session(a_session("k"))
        first = await sessions.end_session("k", lambda _: LogoutState(), MINUTE)
        state = LogoutState(settled=["web"], revoked=True)
        due_at = store.clock.now() + HOUR
        assert await sessions.keep_logout(first, state, due_at) is True
        assert await sessions.keep_logout(first, LogoutState(), due_at) is False
        assert await sessions.finish_logouts([first]) == 0
        assert await sessions.claim_logouts(10, MINUTE) == []
        store.clock.advance(HOUR)
        [second] = await sessions.claim_logouts(10, MINUTE)
        assert (second.state.settled, second.state.revoked) == (["web"], True)
        assert (second.session, second.over_at) == (first.session, first.over_at)
        store.clock.advance(HOUR)
        assert await sessions.finish_logouts([second]) == 1
        assert await sessions.claim_logouts(10, MINUTE) == []

    async def test_an_ending_may_leave_a_session(self, store: Any) -> None:
        """Of the sessions that a filter matches, those go on that it leaves; they are changed by a change alone."""
        sessions = store.server_side_sessions
        for number in range(3):
            await sessions.create_session(a_session(f"k{number}", session_id=f"s{number}"))

        def only_the_first(session: ServerSideSession) -> LogoutState | None:
            return LogoutState() if session.session_id == "s0" else None

        ended = await sessions.end_sessions(SessionFilter(subject_id="alice"), only_the_first, MINUTE)
        assert [logout.session.key for logout in ended.logouts] == ["k0"]
        assert await sessions.end_session("k1", only_the_first, MINUTE) is None
        assert await sessions.change_session("k0", lambda session: session) is None
        unchanged = await sessions.change_session("k1", lambda _: None)
        assert unchanged == await sessions.get_session("k1")
        with pytest.raises(ValueError, match="another key"):
            await sessions.change_session("k1", lambda session: session.model_copy(update={"key": "k2"}))
        with pytest.raises(TypeError):
            await sessions.change_session("k1", lambda _: "a session")

    async def test_what_no_logout_can_be_is_refused(self, store: Any) -> None:
        """At the door, and nothing is changed: no function, no state, no instant, no logout."""
        sessions = store.server_side_sessions
        await sessions.create_session(a_session("k"))
        alice, now = SessionFilter(subject_id="alice"), store.clock.now()
        for wrong in (None, 5, "k", lambda _: "ended", lambda _: LogoutState.model_construct(settled=5)):
            with pytest.raises((TypeError, ValueError)):
                await sessions.end_session("k", wrong, MINUTE)
            with pytest.raises((TypeError, ValueError)):
                await sessions.end_sessions(alice, wrong, MINUTE)
            with pytest.raises((TypeError, ValueError)):
                await sessions.change_session("k", wrong if not callable(wrong) else lambda _: "changed")
        assert await sessions.get_session("k") is not None
        for lease in (timedelta(0), None):
            with pytest.raises((TypeError, ValueError), match="lease"):
                await sessions.end_session("k", lambda _: LogoutState(), lease)
        logout = await sessions.end_session("k", lambda _: LogoutState(), MINUTE)
        for arguments in (
            (None, logout.state, now),
            (logout, None, now),
            (logout, logout.state, now.replace(tzinfo=None)),
        ):
            with pytest.raises((TypeError, ValueError)):
                await sessions.keep_logout(*arguments)
        for logouts in (logout, [None], "k"):
            with pytest.raises(TypeError):
                await sessions.finish_logouts(logouts)
        with pytest.raises((TypeError, ValueError), match="since"):
            await sessions.has_begun_since(alice, "now")
        assert await sessions.finish_logouts([logout]) == 1

    async def test_a_claim_outlives_the_new_session_under_the_key(self, store: Any) -> None:
        """A session that is claimed, and then superseded, is still claimed, and is acknowledged by its key."""
        sessions = store.server_side_sessions
        [old] = await self._store_expired(store, 1)
        assert await sessions.claim_expired_sessions(10, MINUTE) == [old]
        new = a_session("k0", session_id="s2", expires=store.clock.now() + HOUR)
        await sessions.create_session(new)
        assert await sessions.claim_expired_sessions(10, MINUTE) == []
        assert await sessions.acknowledge_expired_sessions(["k0"]) == 1
        assert await sessions.get_session("k0") == new

    async def test_of_one_key_the_oldest_is_processed_first(self, store: Any) -> None:
        """Of several expired sessions under one key, one at a time is out, so that no acknowledgement means another."""
        sessions = store.server_side_sessions
        made = []
        for number in range(3):
            made.append(a_session("k", session_id=f"s{number}", expires=store.clock.now() + MINUTE))
            await sessions.create_session(made[-1])
            store.clock.advance(MINUTE)
        for session in made:
            assert await sessions.claim_expired_sessions(10, HOUR) == [session]
            assert await sessions.claim_expired_sessions(10, HOUR) == []
            assert await sessions.acknowledge_expired_sessions(["k"]) == 1
        assert await sessions.claim_expired_sessions(10, HOUR) == []

    async def test_another_tenant_s_session_under_the_key_stays_pending(self, store: Any) -> None:
        """Two tenants have expired sessions under one key, superseded or not: each claims and acknowledges its own."""
        ours, theirs = store.server_side_sessions, store.for_tenant("acme").server_side_sessions
        for sessions in (ours, theirs):
            for key in ("superseded", "in place"):
                await sessions.create_session(a_session(key, expires=store.clock.now() + HOUR))
        store.clock.advance(HOUR)
        for sessions in (ours, theirs):
            await sessions.create_session(a_session("superseded", expires=None))
        for sessions in (ours, theirs):
            assert len(await sessions.claim_expired_sessions(10, MINUTE)) == 2
        assert await theirs.acknowledge_expired_sessions(["superseded", "in place"]) == 2
        store.clock.advance(MINUTE)
        assert await theirs.claim_expired_sessions(10, MINUTE) == []
        pending = await ours.claim_expired_sessions(10, MINUTE)
        assert {session.key for session in pending} == {"superseded", "in place"}

    @pytest.mark.parametrize("goes_on", ["update", "slide", "slide all"])
    async def test_a_session_that_goes_on_is_not_acknowledged(self, store: Any, goes_on: str) -> None:
        """A node whose clock is ahead claims a session early; when it is prolonged meanwhile, its logout is off."""
        sessions = store.server_side_sessions
        start = store.clock.now()
        session = a_session("k", renewed=start, expires=start + HOUR)
        await sessions.create_session(session)
        store.clock.advance(HOUR)
        assert await sessions.claim_expired_sessions(10, MINUTE) == [session]
        store.clock.advance(-MINUTE)
        assert await sessions.acknowledge_expired_sessions(["k"]) == 0
        if goes_on == "update":
            await sessions.update_session(session.model_copy(update={"expires": start + 2 * HOUR - MINUTE}))
        elif goes_on == "slide":
            await sessions.slide_session("k")
        else:
            await sessions.slide_sessions(SessionFilter(subject_id="alice"))
        store.clock.advance(MINUTE)
        assert await sessions.acknowledge_expired_sessions(["k"]) == 0
        assert await sessions.get_session("k") is not None
        store.clock.advance(HOUR)
        assert await sessions.acknowledge_expired_sessions(["k"]) == 0
        assert [found.key for found in await sessions.claim_expired_sessions(10, MINUTE)] == ["k"]

    async def test_an_unprocessed_session_is_kept_for_its_grace(self, store: Any) -> None:
        """Within a week of its expiry, or of the last claim's lease, a session can be claimed; after that it is gone."""
        sessions = store.server_side_sessions
        await self._store_expired(store, 2)
        store.clock.advance(GRACE - HOUR)
        assert len(await sessions.claim_expired_sessions(1, HOUR)) == 1
        store.clock.advance(HOUR + GRACE - MILLISECOND)
        assert [session.key for session in await sessions.claim_expired_sessions(10, MINUTE)] == ["k0"]
        store.clock.advance(MINUTE + GRACE)
        assert await sessions.claim_expired_sessions(10, MINUTE) == []
        assert await sessions.get_and_remove_expired_sessions(10) == []

    async def test_a_session_past_its_grace_is_not_pending_any_more(self, store: Any) -> None:
        """Its key can be used, and nothing of it is processed."""
        sessions = store.server_side_sessions
        await self._store_expired(store, 1)
        store.clock.advance(GRACE)
        await sessions.create_session(new := a_session("k0", expires=None))
        assert await sessions.get_session("k0") == new
        assert await sessions.claim_expired_sessions(10, MINUTE) == []

    @pytest.mark.parametrize("count", [0, -1, True, 1.5, None, "1"])
    async def test_a_count_that_is_none_is_refused(self, store: Any, count: Any) -> None:
        """A number of sessions is a positive int."""
        with pytest.raises((TypeError, ValueError), match="count"):
            await store.server_side_sessions.get_and_remove_expired_sessions(count)
        with pytest.raises((TypeError, ValueError), match="count"):
            await store.server_side_sessions.claim_expired_sessions(count, MINUTE)

    @pytest.mark.parametrize("lease", [timedelta(0), -MINUTE, 60, None])
    async def test_a_lease_that_is_none_is_refused(self, store: Any, lease: Any) -> None:
        """A lease is a positive timedelta."""
        with pytest.raises((TypeError, ValueError), match="lease"):
            await store.server_side_sessions.claim_expired_sessions(1, lease)

    async def test_one_text_is_no_list_of_keys(self, store: Any) -> None:
        """A key in the place of keys would be taken for its characters."""
        with pytest.raises(TypeError, match="keys"):
            await store.server_side_sessions.acknowledge_expired_sessions("k0")

    async def _store_expired(self, store: Any, count: int) -> list[ServerSideSession]:
        """Sessions k0, k1, …, each expired a millisecond after the one before, in this order."""
        now = store.clock.now()
        expired = [a_session(f"k{number}", expires=now + HOUR + number * MILLISECOND) for number in range(count)]
        # Not in their order.
        await asyncio.gather(*(store.server_side_sessions.create_session(session) for session in expired[::-1]))
        store.clock.advance(HOUR + count * MILLISECOND)
        return expired
