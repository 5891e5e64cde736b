"""What the caching decorators ask of the stores behind them, and when: no database is needed for that."""

from collections import Counter
from datetime import timedelta

import pytest

from mongostore import MemoryStore
from mongostore.caching import (
    CachedClientStore,
    CachedCorsPolicyService,
    CachedIdentityProviderStore,
    CachedResourceStore,
    CachingOptions,
    ConfigurationCaches,
)
from mongostore.errors import StaleRevision
from mongostore.models import ApiResource, ApiScope, IdentityResource
from mongostore.testing import FakeClock
from mongostore.testing.contracts.filled_models import an_oidc_provider
from mongostore.testing.factories import a_client

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(milliseconds=1)
OPTIONS = CachingOptions(
    client_store_expiration=2 * MINUTE,
    resource_store_expiration=3 * MINUTE,
    cors_expiration=4 * MINUTE,
    identity_provider_cache_duration=5 * MINUTE,
)


class Watched:
    """A store that counts what is asked of it."""

    def __init__(self, store):
        self._store = store
        self.asked = Counter()

    def __getattr__(self, name):
        def ask(*arguments, **named):
            self.asked[name] += 1
            return getattr(self._store, name)(*arguments, **named)

        return ask


class Cached:
    """A store without caches, and decorators of our own around its watched halves."""

    def __init__(self):
        self.behind = MemoryStore(clock=FakeClock())
        self.clock = FakeClock()
        caches = ConfigurationCaches(OPTIONS, self.clock)
        self.watched = {
            name: Watched(getattr(self.behind, name))
            for name in ("clients", "resources", "cors_policy", "identity_providers")
        }
        self.clients = CachedClientStore(self.watched["clients"], caches)
        self.resources = CachedResourceStore(self.watched["resources"], caches)
        self.cors_policy = CachedCorsPolicyService(self.watched["cors_policy"], caches)
        self.identity_providers = CachedIdentityProviderStore(self.watched["identity_providers"], caches)

    def asked(self, name):
        """What was asked of a store behind since the last look."""
        asked = dict(self.watched[name].asked)
        self.watched[name].asked.clear()
        return asked


@pytest.fixture
def cached():
    return Cached()


async def test_every_question_about_resources_is_answered_from_one_snapshot(cached):
    """One read of everything serves all of them until it expires; the finders behind are never asked."""
    await cached.behind.resources.save_identity_resource(IdentityResource(name="profile", user_claims=["name"]))
    await cached.behind.resources.save_api_scope(ApiScope(name="read"))
    await cached.behind.resources.save_api_resource(ApiResource(name="orders", scopes=["read"]))

    async def ask():
        return [
            names
            for found in (
                await cached.resources.find_identity_resources_by_scope_name(["profile", "read"]),
                await cached.resources.find_api_scopes_by_name(["read", "orders"]),
                await cached.resources.find_api_resources_by_name(["orders", "profile"]),
                await cached.resources.find_api_resources_by_scope_name(["read"]),
                (await cached.resources.find_resources_by_scope(["read"])).api_resources,
                (await cached.resources.find_enabled_resources_by_scope(["read"])).api_scopes,
                (await cached.resources.get_all_resources()).identity_resources,
            )
            for names in [[each.name for each in found]]
        ]

    expected = [["profile"], ["read"], ["orders"], ["orders"], ["orders"], ["read"], ["profile"]]
    assert await ask() == expected
    assert cached.asked("resources") == {"get_all_resources": 1}
    await cached.behind.resources.save_api_scope(ApiScope(name="write"))
    cached.clock.advance(3 * MINUTE - TICK)
    assert await ask() == expected
    assert await cached.resources.find_api_scopes_by_name(["write"]) == []
    assert cached.asked("resources") == {}
    cached.clock.advance(TICK)
    assert len(await cached.resources.find_api_scopes_by_name(["read", "write"])) == 2
    assert cached.asked("resources") == {"get_all_resources": 1}


async def test_a_client_is_read_once_until_it_expires(cached):
    """Under its own id; the enabled one comes from the same entry."""
    for client_id in ("web", "spa"):
        await cached.behind.clients.save_client(a_client(client_id))
    for _ in range(3):
        assert (await cached.clients.find_client_by_id("web")).client_id == "web"
        assert (await cached.clients.find_enabled_client_by_id("spa")).client_id == "spa"
    assert cached.asked("clients") == {"find_client_by_id": 2}
    await cached.behind.clients.save_client(a_client(client_name="new"))
    cached.clock.advance(2 * MINUTE - TICK)
    assert (await cached.clients.find_client_by_id("web")).client_name is None
    cached.clock.advance(TICK)
    assert (await cached.clients.find_client_by_id("web")).client_name == "new"


async def test_an_absent_client_is_believed_absent_for_ten_seconds(cached):
    """Whoever asks for what is not there costs no query each time; what is added is seen soon, or at once where saved."""
    for _ in range(3):
        assert await cached.clients.find_client_by_id("web") is None
    assert cached.asked("clients") == {"find_client_by_id": 1}
    await cached.behind.clients.save_client(a_client())
    cached.clock.advance(10 * SECOND - TICK)
    assert await cached.clients.find_client_by_id("web") is None
    cached.clock.advance(TICK)
    assert await cached.clients.find_client_by_id("web") is not None
    assert await cached.clients.find_client_by_id("spa") is None
    await cached.clients.save_client(a_client("spa"))
    assert await cached.clients.find_client_by_id("spa") is not None


async def test_lists_and_revisions_of_clients_are_always_read(cached):
    """Nobody edits from a cache."""
    await cached.clients.save_client(a_client())
    cached.asked("clients")
    for _ in range(2):
        assert len([client async for client in cached.clients.get_all_clients()]) == 1
        assert await cached.clients.get_client_revision("web") is not None
    assert cached.asked("clients") == {"get_all_clients": 2, "get_client_revision": 2}


async def test_what_is_read_to_be_changed_is_never_from_a_cache(cached):
    """A client that another node has disabled is not saved as enabled again by who read it here just now."""
    await cached.clients.save_client(a_client())
    assert (await cached.clients.find_client_by_id("web")).enabled
    disabled = await cached.behind.clients.save_client(a_client(enabled=False))
    read = await cached.clients.read_client("web")
    assert (read.value.enabled, read.revision) == (False, disabled)
    renamed = read.value.model_copy(update={"client_name": "new"})
    await cached.clients.save_client(renamed, expected_revision=read.revision)
    assert (await cached.clients.find_client_by_id("web")).enabled is False
    for attribute, read_method, name in (
        ("resources", "read_identity_resource", "profile"),
        ("resources", "read_api_scope", "read"),
        ("resources", "read_api_resource", "orders"),
        ("identity_providers", "read_identity_provider", "acme"),
    ):
        for _ in range(2):
            assert await getattr(getattr(cached, attribute), read_method)(name) is None
        assert cached.asked(attribute) == {read_method: 2}


async def test_a_refused_deletion_keeps_nothing_outdated(cached):
    """Whatever became of it, the next look-up reads."""
    revision = await cached.clients.save_client(a_client())
    await cached.clients.find_client_by_id("web")
    await cached.behind.clients.save_client(a_client(client_name="new"))
    with pytest.raises(StaleRevision):
        await cached.clients.delete_client("web", expected_revision=revision)
    assert (await cached.clients.find_client_by_id("web")).client_name == "new"


async def test_every_origin_has_its_own_answer(cached):
    """Yes is kept for its time, no for ten seconds; one origin's answer is none for another."""
    yes, no = "https://app.example", "https://other.example"
    await cached.behind.clients.save_client(a_client(allowed_cors_origins=[yes]))
    for _ in range(3):
        assert await cached.cors_policy.is_origin_allowed(yes) is True
        assert await cached.cors_policy.is_origin_allowed(no) is False
    assert cached.asked("cors_policy") == {"is_origin_allowed": 2}
    await cached.behind.clients.save_client(a_client(allowed_cors_origins=[no]))
    cached.clock.advance(10 * SECOND - TICK)
    assert await cached.cors_policy.is_origin_allowed(no) is False
    cached.clock.advance(TICK)
    assert await cached.cors_policy.is_origin_allowed(no) is True
    cached.clock.advance(4 * MINUTE - 10 * SECOND - TICK)
    assert await cached.cors_policy.is_origin_allowed(yes) is True
    cached.clock.advance(TICK)
    assert await cached.cors_policy.is_origin_allowed(yes) is False


async def test_providers_and_their_names_are_read_once_until_they_expire(cached):
    """As typed as they are behind the cache, each scheme and the list for itself."""
    await cached.behind.identity_providers.save_identity_provider(an_oidc_provider())
    for _ in range(3):
        assert await cached.identity_providers.get_by_scheme("acme") == an_oidc_provider()
        assert [name.scheme for name in await cached.identity_providers.get_all_scheme_names()] == ["acme"]
    assert cached.asked("identity_providers") == {"get_by_scheme": 1, "get_all_scheme_names": 1}
    await cached.behind.identity_providers.delete_identity_provider("acme")
    cached.clock.advance(5 * MINUTE - TICK)
    assert type(await cached.identity_providers.get_by_scheme("acme")) is type(an_oidc_provider())
    cached.clock.advance(TICK)
    assert await cached.identity_providers.get_by_scheme("acme") is None
    assert await cached.identity_providers.get_all_scheme_names() == []
