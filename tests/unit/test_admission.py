"""What a node knows of a tenant: for how long, and what it does while the list of tenants can't be read."""

from datetime import timedelta

import pytest

from mongostore import NotFound, SharedDatabase, StorageUnavailable
from mongostore.assembly.admission import Admission, Gate
from mongostore.memory.tenants import MemoryTenantRegistry
from mongostore.tenancy import Tenant

ACME = Tenant("acme")


class Registry(MemoryTenantRegistry):
    """Counts the questions, and does not answer while it is down."""

    def __init__(self):
        super().__init__()
        self.is_down = False
        self.asked = 0

    async def find(self, tenant):
        self.asked += 1
        if self.is_down:
            raise StorageUnavailable("no primary")
        return await super().find(tenant)


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def admission(registry, changes):
    return Admission(
        registry,
        SharedDatabase(tenants="registered"),
        registry.register,
        operation_timeout=timedelta(minutes=1),
        on_change=lambda: changes.append(True),
    )


class Remembering:
    """Keeps something in memory."""

    async def read(self):
        return self


async def test_a_registered_tenant_is_taken_for_granted_for_a_moment(registry, admission):
    """A burst of writes asks once; one that isn't there is asked for each time, so that it can come at any moment."""
    for _ in range(3):
        with pytest.raises(NotFound):
            await admission.admit(ACME)
    assert registry.asked == 3
    await registry.register(ACME)
    for _ in range(3):
        await admission.admit(ACME)
    assert registry.asked == 4


async def test_the_time_to_settle_covers_what_is_remembered_and_a_whole_write(admission):
    """The two together, and something for the way to the server."""
    assert admission.settling_time > 61
    assert Admission(MemoryTenantRegistry(), SharedDatabase(), MemoryTenantRegistry().register).settling_time == 0


async def test_what_is_in_memory_goes_with_the_tenant(registry, admission, changes):
    """It is made anew once the tenant leaves, and for the next owner of the slug; caches are told each time."""
    remembering = Gate(admission, ACME).of_incarnation(Remembering)

    async def seen():
        admission._sightings = {
            tenant: type(sighting)(float("-inf"), sighting.incarnation, sighting.is_leaving)
            for tenant, sighting in admission._sightings.items()
        }
        return await remembering.read()

    await registry.register(ACME)
    first = await seen()
    assert await seen() is first
    assert changes == []
    await registry.begin_deletion(ACME)
    second = await seen()
    assert second is not first
    assert len(changes) == 1
    await registry.strike(ACME)
    assert await seen() is second
    await registry.register(ACME)
    assert await seen() is not second
    assert len(changes) == 2


async def test_while_the_list_cant_be_read_memory_serves_and_nothing_is_written(registry, admission):
    """A look-up that needs no database is not held up by one that does not answer, nor asks it each time."""
    remembering = Gate(admission, ACME).of_incarnation(Remembering)
    await registry.register(ACME)
    first = await remembering.read()
    admission._sightings[ACME] = type(admission._sightings[ACME])(
        float("-inf"), admission._sightings[ACME].incarnation, is_leaving=False
    )
    registry.is_down = True
    asked = registry.asked
    for _ in range(3):
        assert await remembering.read() is first
    assert registry.asked == asked + 1
    with pytest.raises(StorageUnavailable):
        await admission.admit(ACME)
