"""A clean-up that is told to stop does, whatever its cancellation was taken for: drivers turn some into errors."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from mongostore import MemoryStore, StorageUnavailable, TokenCleanupOptions, TokenCleanupService
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_grant, a_pushed_request

HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=1)
# Real time: only a failure waits this long.
PATIENCE_SECONDS = 60


@pytest.fixture
async def store():
    """With a grant and a pushed request that are over."""
    store = MemoryStore(clock=FakeClock())
    await store.persisted_grants.store(a_grant("k", expiration=store.clock.now()))
    await store.pushed_authorization_requests.store(a_pushed_request("par", expires_at_utc=store.clock.now()))
    store.clock.advance(HOUR)
    return store


async def until_cancelled(reached, error):
    """Wait to be cancelled, and make something else of it."""
    reached.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if error is not None:
            raise error from None


async def cancelled(task, reached):
    """Cancel a task where it says that it waits: whether it then ends as cancelled."""
    await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    if not done:
        task.cancel()
    return bool(done) and task.cancelled()


@pytest.mark.parametrize("error", [None, StorageUnavailable("no primary"), RuntimeError("pool closed")], ids=repr)
async def test_a_pass_does_not_go_on_to_its_next_step(store, error):
    """What follows the step that was cancelled is left for the next pass, which may begin at once."""
    reached = asyncio.Event()
    service = TokenCleanupService(store, on_removed=lambda _kind, _items: until_cancelled(reached, error))
    assert await cancelled(asyncio.create_task(service.cleanup_grants()), reached)
    counts = await TokenCleanupService(store).cleanup_grants()
    assert (counts.skipped, counts.pushed_authorization_requests) == (False, 1)


async def test_a_run_does_not_go_on_to_its_next_pass(store):
    """A cancellation that became an outage before a pass had begun ends the run."""
    reached = asyncio.Event()
    asked = []

    async def acquire(_name, _duration):
        asked.append(1)
        await until_cancelled(reached, StorageUnavailable("no primary"))

    leases = SimpleNamespace(acquire=acquire)
    cleanup = SimpleNamespace(clock=store.clock, leases=leases, records=store._cleanup.records, tenant="default")
    service = TokenCleanupService(SimpleNamespace(_cleanup=cleanup), TokenCleanupOptions(interval=SOON))
    assert await cancelled(asyncio.create_task(service.run()), reached)
    assert len(asked) == 1
