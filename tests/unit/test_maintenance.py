"""When a round of the maintenance stops: a lost lease, an outage, a cancellation, whatever was made of it."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from mongostore import ConfigurationError, KeyUnavailable, MemoryStore, StorageUnavailable
from mongostore.maintenance import Maintenance, MaintenanceReport, TenantMaintenance, Upkeep
from mongostore.memory.leases import MemoryLeases
from mongostore.tenancy import tenant
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_session

MINUTE = timedelta(minutes=1)
SOON = timedelta(milliseconds=1)
TENANTS = [tenant(f"t{number}") for number in range(200)]
# Real time: only a failure waits this long.
PATIENCE_SECONDS = 60


class Keys:
    """A tenant's keys: asks a function what becomes of looking whether one is due."""

    def __init__(self, slug, due):
        self._slug = slug
        self._due = due

    async def rotate_if_due(self):
        return await self._due(self._slug)


async def nothing():
    return 0


class Deployment:
    """Tenants whose keys do what the function says.

    Attributes:
        turns: the tenants that had a turn, in order.
        leases: of the deployment; the outcomes of renewals may be given.
    """

    def __init__(self, due=None, renewals=None):
        self.turns = []
        self._due = due
        self._renewals = iter(renewals or [])
        self._leases = MemoryLeases()

    @property
    def maintenance(self):
        return Maintenance(self, self._registered, self._upkeep_of)

    async def acquire(self, name, duration):
        lease = await self._leases.acquire(name, duration)
        return lease and SimpleNamespace(renew=lambda: self._renewed(lease), release=lease.release)

    async def _renewed(self, lease):
        outcome = next(self._renewals, None)
        if isinstance(outcome, Exception):
            raise outcome
        return await lease.renew() if outcome is None else outcome

    async def _registered(self):
        return TENANTS

    def _upkeep_of(self, slug):
        return Upkeep(None, None, SimpleNamespace(rotate_if_due=nothing), Keys(slug, self._turn))

    async def _turn(self, slug):
        self.turns.append(slug)
        return 0 if self._due is None else await self._due(slug)


async def no_answer(_slug):
    raise StorageUnavailable("no primary")


async def test_every_tenant_has_its_turn():
    """The default tenant, which is in no list, and all others."""
    deployment = Deployment()
    assert await deployment.maintenance.run_once() == MaintenanceReport(looked_after=201)
    assert deployment.turns == ["default", *TENANTS]


async def test_an_outage_of_one_tenant_s_database_is_that_tenant_s():
    """While the lease can be renewed, the others are served."""

    async def due(slug):
        if slug == "t3":
            raise StorageUnavailable("no primary")
        return 1

    report = await Deployment(due).maintenance.run_once()
    assert report.tenants["t3"] == TenantMaintenance(failures=("keys",))
    assert sum(done.keys for done in report.tenants.values()) == 200


async def test_an_outage_of_all_is_not_waited_for_by_each_tenant():
    """Where the lease can't be renewed either, the round ends: 200 tenants would take 200 time-outs."""
    deployment = Deployment(no_answer, [StorageUnavailable("no primary")])
    with pytest.raises(StorageUnavailable):
        await deployment.maintenance.run_once()
    assert deployment.turns == ["default"]


async def test_a_lost_lease_ends_the_job():
    """Another node goes on; what this one did is reported."""

    async def due(_slug):
        raise KeyUnavailable("the keys were destroyed")

    deployment = Deployment(due, [True, True, False])
    report = await deployment.maintenance.run_once()
    assert deployment.turns == ["default", "t0", "t1"]
    assert report.tenants.keys() == {"default", "t0", "t1"}


async def test_run_outlives_an_outage(caplog):
    """It is logged, and the next round comes in its turn."""
    outages = 3
    done = asyncio.Event()

    async def due(slug):
        nonlocal outages
        if slug == "default" and outages:
            outages -= 1
            raise StorageUnavailable("no primary")
        if slug == TENANTS[-1]:
            done.set()
        return 0

    deployment = Deployment(due, [StorageUnavailable("no primary")] * 3)
    task = asyncio.create_task(deployment.maintenance.run(interval=SOON))
    await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert caplog.text.count("The maintenance was cut off") == 3


async def test_run_ends_with_a_store_that_is_not_open():
    """It would fail for ever."""
    deployment = Deployment(no_answer, [ConfigurationError("the store is not open")])
    with pytest.raises(ConfigurationError):
        await asyncio.wait_for(deployment.maintenance.run(interval=SOON), PATIENCE_SECONDS)


@pytest.mark.parametrize("error", [None, StorageUnavailable("no primary"), RuntimeError("pool closed")], ids=repr)
async def test_a_cancellation_that_is_swallowed_ends_the_run(error):
    """Whatever it was turned into, no other tenant has a turn, and the job is free for another node."""
    reached = asyncio.Event()

    async def due(slug):
        if slug == "t5":
            reached.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if error is not None:
                    raise error from None
        return 0

    deployment = Deployment(due)
    task = asyncio.create_task(deployment.maintenance.run())
    await asyncio.wait_for(reached.wait(), PATIENCE_SECONDS)
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    assert task.cancelled()
    assert deployment.turns[-1] == "t5"
    assert await deployment.acquire("maintenance-keys", MINUTE) is not None


async def test_closing_a_store_in_memory_ends_the_run():
    """As with MongoDB, so that a test of a server ends."""
    seen = []
    async with MemoryStore(clock=FakeClock()) as store:
        await store.server_side_sessions.create_session(a_session("k", expires=store.clock.now()))
        task = asyncio.create_task(
            store.maintenance.run(on_expired_session=lambda session, _: seen.append(session.key))
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not seen:
                await asyncio.sleep(0.001)
    await asyncio.wait_for(task, PATIENCE_SECONDS)
