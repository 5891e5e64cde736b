"""Answers about origins, which any change of any client of the tenant may turn around."""

import asyncio

import pytest

from mongostore.caching import CachedCorsPolicyService, CachingOptions, ConfigurationCaches
from mongostore.testing import FakeClock

ORIGIN = "https://app.example.com"


class Service:
    """Says what it is told to say, at once or when it is let go."""

    def __init__(self):
        self.answer, self.asked = True, 0
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def is_origin_allowed(self, origin: str) -> bool:
        answer, self.asked = self.answer, self.asked + 1
        await self.let_go.wait()
        return answer


@pytest.fixture
def caches() -> ConfigurationCaches:
    return ConfigurationCaches(CachingOptions(), FakeClock())


async def test_a_change_of_a_client_turns_answers_of_its_tenant_around(caches):
    """Allowed and not allowed alike, and those of no other tenant."""
    services = {tenant: Service() for tenant in ("a", "b")}
    policies = {tenant: CachedCorsPolicyService(service, caches, tenant) for tenant, service in services.items()}
    for answer in (True, False, True):
        services["a"].answer = answer
        caches.client_changed("a", "web")
        for _ in range(2):
            assert await policies["a"].is_origin_allowed(ORIGIN) is answer
            assert await policies["b"].is_origin_allowed(ORIGIN)
    assert (services["a"].asked, services["b"].asked) == (3, 1)


@pytest.mark.parametrize("change", ["a client", "everything"])
async def test_an_answer_from_before_the_change_is_not_kept(caches, change):
    """It is given to who asked before, and to nobody after."""
    service = Service()
    policy = CachedCorsPolicyService(service, caches, "a")
    service.let_go.clear()
    early = asyncio.create_task(policy.is_origin_allowed(ORIGIN))
    while not service.asked:
        await asyncio.sleep(0)
    service.answer = False
    caches.client_changed("a", "web") if change == "a client" else caches.clear()
    service.let_go.set()
    assert await early is True
    assert await policy.is_origin_allowed(ORIGIN) is False


async def test_changes_in_more_tenants_than_are_kept():
    """What is counted of changes is bounded as the answers are, and an answer from before a change never comes back."""
    caches = ConfigurationCaches(CachingOptions(max_entries=3), FakeClock())
    service = Service()
    policy = CachedCorsPolicyService(service, caches, "a")
    for number in range(10):
        service.answer = number % 2 == 0
        caches.client_changed("a", "web")
        assert await policy.is_origin_allowed(ORIGIN) is service.answer
        caches.client_changed(f"other-{number}", "web")
        assert len(caches._client_changes) <= 3
    assert caches.statistics()["origins"].entries <= 2 * 3


async def test_a_change_costs_the_same_however_much_is_kept(caches, steps_of):
    """A thousand tenants' origins are not searched for those of one: an import of clients must not stop the others."""
    taken = []
    for number in range(1_000):
        await CachedCorsPolicyService(Service(), caches, f"tenant-{number}").is_origin_allowed(ORIGIN)
        if number in (1, 999):
            with steps_of() as steps:
                caches.client_changed("tenant-1", "web")
            taken += steps
    assert 0 < taken[1] <= taken[0]
