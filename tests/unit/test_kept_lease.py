"""A lease that is kept: renewed however long the work takes, known to be lost, and freed in the end."""

import asyncio
from datetime import timedelta

import pytest

from mongostore import StorageUnavailable
from mongostore.memory.leases import MemoryLeases
from mongostore.stores.kept_lease import keep_lease

MINUTE = timedelta(minutes=1)
# Real time, for what is to pass.
BRIEF = timedelta(milliseconds=30)
PATIENCE_SECONDS = 60


class Lease:
    """A lease whose renewals have the outcomes given, and then succeed."""

    def __init__(self, *outcomes):
        self._outcomes = iter(outcomes)
        self.renewals = 0

    async def acquire(self, _name, _duration):
        return self

    async def renew(self):
        self.renewals += 1
        outcome = next(self._outcomes, True)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def release(self):
        raise StorageUnavailable("no primary")


async def until(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


async def test_one_of_two_holds_it_and_the_next_need_not_wait():
    """While one holds it the other gets `None`; when the block ends, however it does, the lease is free."""
    leases = MemoryLeases()

    async def fail():
        async with keep_lease(leases, "job", MINUTE) as first, keep_lease(leases, "job", MINUTE) as second:
            assert first is not None
            assert second is None
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with keep_lease(leases, "job", MINUTE) as third:
        assert third is not None


async def test_it_is_renewed_however_long_the_work_takes(monkeypatch):
    """The holder does nothing; the lease is renewed again and again, and its end moves on each time."""
    monkeypatch.setattr("mongostore.stores.kept_lease._RENEWALS_PER_LEASE", MINUTE / BRIEF)
    lease = Lease()
    async with keep_lease(lease, "job", MINUTE) as held:
        ends = held._until
        await until(lambda: lease.renewals >= 4 and held._until > ends + 3 * BRIEF.total_seconds())
        assert not held.is_lost


async def test_a_refused_renewal_is_a_loss():
    """Once another node has it, it stays lost, whatever a later renewal would say."""
    lease = Lease(False)
    async with keep_lease(lease, "job", MINUTE) as held:
        assert not held.is_lost
        assert await held.renew() is False
        assert held.is_lost
        assert await held.renew() is False
        assert lease.renewals == 1


async def test_a_failed_renewal_is_no_loss_yet():
    """An outage that is over before the lease is harms nobody."""
    lease = Lease(StorageUnavailable("no primary"))
    async with keep_lease(lease, "job", MINUTE) as held:
        with pytest.raises(StorageUnavailable):
            await held.renew()
        assert not held.is_lost
        assert await held.renew() is True


async def test_a_lease_that_could_not_be_renewed_in_its_time_is_lost():
    """Nobody has to say so: the node may be cut off from the database, or have been stopped."""
    lease = Lease(*[StorageUnavailable("no primary")] * 100)
    async with keep_lease(lease, "job", BRIEF) as held:
        await until(lambda: held.is_lost)
        assert await held.renew() is False
