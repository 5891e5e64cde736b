"""When expired sessions are looked for again: after failures sooner, but less and less often; and when no more."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest

from mongostore import MemoryStore, StorageUnavailable
from mongostore.grants.revocation import Revocation
from mongostore.memory.leases import MemoryLeases
from mongostore.sessions.coordination import SessionCoordination
from mongostore.sessions.expiry import SessionExpiry
from mongostore.sessions.logouts import Logouts
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_session

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
INTERVAL = timedelta(minutes=10)
# Real time: only a failure waits this long.
PATIENCE_SECONDS = 60


class Enough(Exception):
    """Ends a run."""


class Node:
    """A node that processes expired sessions, and whose pauses take no time: the clock moves instead."""

    def __init__(self, monkeypatch):
        self.store = MemoryStore(clock=FakeClock())
        self.leases = MemoryLeases()
        self._monkeypatch = monkeypatch

    @property
    def expiry(self):
        store = self.store
        sessions = store.server_side_sessions
        revocation = Revocation(store.persisted_grants, store.device_flow, store.pushed_authorization_requests)
        coordination = SessionCoordination(sessions, revocation, store.clients, coordinate_by_default=False)
        logouts = Logouts(sessions, store.clock, timedelta(days=7))
        return SessionExpiry(sessions, coordination, logouts, self.leases)

    async def pauses(self, callback, count, interval=INTERVAL):
        """The first pauses of a run."""
        pauses = []

        async def pause(seconds):
            pauses.append(timedelta(seconds=seconds))
            self.store.clock.advance(timedelta(seconds=seconds))
            if len(pauses) == count:
                raise Enough

        with self._monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", pause)
            with pytest.raises(Enough):
                await self.expiry.run(callback, interval)
        return pauses


@pytest.fixture
async def node(monkeypatch):
    """With one session that expired an hour ago."""
    node = Node(monkeypatch)
    await node.store.server_side_sessions.create_session(a_session("k", expires=node.store.clock.now()))
    node.store.clock.advance(HOUR)
    return node


async def test_a_failing_callback_is_called_less_and_less_often(node):
    """From one to one and a half minutes at first, then twice as long each time, never longer than the interval."""
    calls = []

    def fail(session):
        calls.append(session.key)
        raise ConnectionError

    pauses = await node.pauses(fail, 8, HOUR)
    assert calls == ["k"] * 8
    for number, pause in enumerate(pauses[:6]):
        assert MINUTE * 2**number <= pause <= MINUTE * 2**number * 1.5
    assert all(earlier < later for earlier, later in pairwise(pauses[:6]))
    assert pauses[6:] == [HOUR] * 2


async def test_a_success_ends_the_haste(node):
    """Once the callback has succeeded, the interval counts again, and a later failure begins at a minute anew."""
    outcomes = iter([ConnectionError(), ConnectionError(), None, ConnectionError(), None])

    async def process(_):
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        later = a_session("k", session_id="later", expires=node.store.clock.now() + MINUTE)
        await node.store.server_side_sessions.create_session(later)

    pauses = await node.pauses(process, 5)
    assert pauses[2] == pauses[4] == INTERVAL
    assert MINUTE <= pauses[0] <= 1.5 * MINUTE
    assert 2 * MINUTE <= pauses[1] <= 3 * MINUTE
    assert MINUTE <= pauses[3] <= 1.5 * MINUTE


async def test_one_failure_among_successes_is_one(node):
    """The batches after it don't make up for it."""
    for number in range(25):
        expires = node.store.clock.now() - HOUR + timedelta(milliseconds=number)
        await node.store.server_side_sessions.create_session(a_session(f"k{number}", expires=expires))
    seen = []

    def fail_for_one(session):
        seen.append(session.key)
        if session.key == "k3":
            raise ConnectionError

    (pause,) = await node.pauses(fail_for_one, 1)
    assert len(seen) == 26
    assert MINUTE <= pause <= 1.5 * MINUTE


async def test_nothing_to_do_is_no_failure(node):
    """Neither are sessions that were all processed."""
    assert await node.pauses(lambda _: None, 2) == [INTERVAL] * 2


async def test_the_work_of_another_node_is_no_failure(node):
    """While it has the lease, this one does nothing, and looks again after an interval."""
    seen = []
    lease = await node.leases.acquire("session-expiry", HOUR)
    assert await node.pauses(seen.append, 2) == [INTERVAL] * 2
    assert seen == []
    await lease.release()
    await node.pauses(seen.append, 1)
    assert [session.key for session in seen] == ["k"]


async def test_a_database_that_does_not_answer_is_asked_again_soon(node, monkeypatch):
    """An outage is shorter than an interval, mostly; the lease is free for the next try."""
    seen, claim = [], node.store.server_side_sessions.claim_logouts
    answers = iter([StorageUnavailable("no primary"), None])

    async def flaky(count, lease):
        error = next(answers, None)
        if error is not None:
            raise error
        return await claim(count, lease)

    monkeypatch.setattr(node.store.server_side_sessions, "claim_logouts", flaky)
    first, second = await node.pauses(seen.append, 2)
    assert MINUTE <= first <= 1.5 * MINUTE
    assert second == INTERVAL
    assert len(seen) == 1


class Deaf:
    """Leases and a lease of theirs, and a callback, that may be cancelled without anybody hearing of it."""

    def __init__(self, where):
        self._where = where
        self.reached = asyncio.Event()
        self.processed = 0

    async def acquire(self, _name, _duration):
        return self

    async def renew(self):
        return True

    async def release(self):
        await self._waits("release")

    async def process(self, _):
        self.processed += 1
        await self._waits("callback")

    async def _waits(self, where):
        if where == self._where and not self.reached.is_set():
            self.reached.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


@pytest.mark.parametrize(("where", "processed"), [("callback", 10), ("release", 16)])
async def test_a_cancellation_that_is_swallowed_ends_the_run(node, where, processed):
    """Whoever takes it for something else, a run that was cancelled begins neither another batch nor another round."""
    for number in range(15):
        await node.store.server_side_sessions.create_session(a_session(f"k{number}", expires=node.store.clock.now()))
    node.leases = deaf = Deaf(where)
    task = asyncio.create_task(node.expiry.run(deaf.process, INTERVAL))
    await asyncio.wait_for(deaf.reached.wait(), PATIENCE_SECONDS)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    if not done:
        task.cancel()
    assert done == {task}
    assert task.cancelled()
    assert deaf.processed == processed
