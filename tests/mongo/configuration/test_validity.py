"""Configuration that breaks the rules, however it came to be stored, is not served."""

import logging
from datetime import timedelta

import pytest

from mongostore import CachingOptions, LocalMasterKey, MongoStore, StoreOptions
from mongostore.caching import CachedClientStore, CachedIdentityProviderStore, CachedResourceStore, ConfigurationCaches
from mongostore.errors import InvalidModel
from mongostore.models import (
    ApiResource,
    ApiScope,
    Client,
    IdentityProvider,
    IdentityProviderName,
    IdentityResource,
    Resources,
)
from mongostore.mongo.documents.identity_providers import IdentityProviderCodec
from mongostore.stores import Revised
from mongostore.tenancy import DEFAULT_TENANT
from mongostore.testing import FakeClock
from mongostore.testing.contracts.filled_models import an_identity_resource, an_oidc_provider
from mongostore.testing.factories import a_client

KEY = LocalMasterKey.generate()
MINUTE = timedelta(minutes=1)
ORIGIN = "https://app.example"

# What breaks a rule, and a word of what is told of it.
BROKEN_CLIENTS = {
    "javascript:": {"redirect_uris": ["javascript:alert(1)"]},
    "access_token_lifetime": {"access_token_lifetime": -5},
    "allowed_grant_types": {"allowed_grant_types": ["implicit", "authorization_code"]},
    "client_secrets": {"client_secrets": [{"type": "SharedSecret", "value": "hunter2"}]},
}


class Heard(list):
    """The events that were told."""

    def kinds(self):
        """Kind, operation, client and collection of each since the last time."""
        told = [(each.kind, each.operation, each.client_id, each.collection) for each in self]
        self.clear()
        return told


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def opened(mongo_uri, prepared_database, heard, clock):
    """Opens a store, with replacements if there are any; its caches are on."""

    def with_options(**named):
        caching = {"caching": None} if named.pop("uncached", False) else {}
        options = StoreOptions(telemetry=False, on_event=heard.append, **caching)
        return MongoStore(mongo_uri, database=prepared_database, master_key=KEY, options=options, clock=clock, **named)

    return with_options


@pytest.fixture
def raw(mongo_connection, prepared_database):
    return mongo_connection[prepared_database]


def told_of(operation, collection, client_id=None):
    return ("invalid_configuration", operation, client_id, collection)


@pytest.mark.parametrize("problem", BROKEN_CLIENTS)
async def test_a_client_that_others_wrote_is_absent_when_it_breaks_the_rules(opened, raw, heard, caplog, problem):
    """It is neither found nor listed, its origins count for nothing, and both log and auditor are told."""
    async with opened(uncached=True) as store:
        await store.clients.save_client(a_client("good", allowed_cors_origins=[ORIGIN]))
        await store.clients.save_client(a_client(allowed_cors_origins=[ORIGIN, "https://other.example"]))
        raw.clients.update_one({"client_id": "web"}, {"$set": BROKEN_CLIENTS[problem]})
        with caplog.at_level(logging.ERROR, logger="mongostore"):
            assert await store.clients.find_client_by_id("web") is None
        assert await store.clients.find_enabled_client_by_id("web") is None
        assert [client.client_id async for client in store.clients.get_all_clients()] == ["good"]
        assert await store.cors_policy.is_origin_allowed("https://other.example") is False
        assert await store.cors_policy.is_origin_allowed(ORIGIN) is True
        assert heard.kinds() == [told_of("clients.find_client_by_id", "clients", "web")]
        assert "the client 'web'" in caplog.text
        assert problem in caplog.text
        assert "hunter2" not in caplog.text


async def test_an_invalid_client_is_told_of_once_a_minute(opened, raw, heard, clock):
    """A look-up that comes a thousand times a second floods no log."""
    async with opened(uncached=True) as store:
        await store.clients.save_client(a_client())
        raw.clients.update_one({}, {"$set": BROKEN_CLIENTS["access_token_lifetime"]})
        for _ in range(3):
            for _ in range(5):
                assert await store.clients.find_client_by_id("web") is None
            assert heard.kinds() == [told_of("clients.find_client_by_id", "clients", "web")]
            clock.advance(MINUTE)
        await store.clients.save_client(a_client())
        assert await store.clients.find_client_by_id("web") is not None
        assert heard.kinds() == []


async def test_a_client_that_was_valid_is_judged_again_when_it_has_changed(opened, raw):
    """What is remembered of it is what it was, not who it is."""
    async with opened(uncached=True) as store:
        await store.clients.save_client(a_client())
        for lifetime in (-5, 60, -5):
            raw.clients.update_one({}, {"$set": {"access_token_lifetime": lifetime}})
            assert (await store.clients.find_client_by_id("web") is not None) == (lifetime > 0)


async def test_what_is_read_to_be_changed_says_what_is_wrong(opened, raw):
    """An administrator gets the problems and the revision; a valid save, or a deletion, ends it."""
    async with opened() as store:
        revision = await store.clients.save_client(a_client())
        raw.clients.update_one({}, {"$set": BROKEN_CLIENTS["javascript:"]})
        with pytest.raises(InvalidModel, match=f"revision {revision} ") as invalid:
            await store.clients.read_client("web")
        assert any("javascript:" in problem for problem in invalid.value.problems)
        await store.clients.save_client(a_client(), expected_revision=revision)
        assert (await store.clients.read_client("web")).value == a_client()
        raw.clients.update_one({}, {"$set": BROKEN_CLIENTS["javascript:"]})
        assert await store.clients.delete_client("web") is True


async def test_resources_that_others_wrote_are_absent_when_they_break_the_rules(opened, raw, heard):
    """Whichever way they are asked for; the valid ones come."""
    async with opened() as store:
        resources = store.resources
        for name in ("a", "b"):
            await resources.save_identity_resource(an_identity_resource(f"identity {name}"))
            await resources.save_api_scope(ApiScope(name=f"scope {name}"))
            await resources.save_api_resource(ApiResource(name=f"api {name}", scopes=["scope a", "scope b"]))
        raw.scopes.update_one({"name": "identity a"}, {"$set": {"user_claims": []}})
        raw.scopes.update_one({"name": "scope a"}, {"$set": {"user_claims": [" "]}})
        raw.api_resources.update_one({"name": "api a"}, {"$set": {"scopes": ["scope b", ""]}})
        names = [f"{kind} {name}" for kind in ("identity", "scope", "api") for name in ("a", "b")]
        for caching in (resources, resources._store):
            for found in (
                await caching.get_all_resources(),
                await caching.find_resources_by_scope(names),
                await caching.find_enabled_resources_by_scope(names),
                Resources(
                    identity_resources=await caching.find_identity_resources_by_scope_name(names),
                    api_scopes=await caching.find_api_scopes_by_name(names),
                    api_resources=await caching.find_api_resources_by_name(names),
                ),
                Resources(
                    identity_resources=await caching.find_identity_resources_by_scope_name(names),
                    api_scopes=await caching.find_api_scopes_by_name(names),
                    api_resources=await caching.find_api_resources_by_scope_name(names),
                ),
            ):
                assert [each.name for each in found.identity_resources] == ["identity b"]
                assert [each.name for each in found.api_scopes] == ["scope b"]
                assert [each.name for each in found.api_resources] == ["api b"]
        assert sorted(heard.kinds()) == [
            told_of("resources.get_all_resources", collection) for collection in ("api_resources", "scopes", "scopes")
        ]
        for read, name in (
            (resources.read_identity_resource, "identity a"),
            (resources.read_api_scope, "scope a"),
            (resources.read_api_resource, "api a"),
        ):
            with pytest.raises(InvalidModel, match=name):
                await read(name)


async def test_a_provider_that_breaks_the_rules_is_absent(opened, raw, heard):
    """It is neither read nor on a login page; here the rules are those of a later version, or of an earlier writer."""
    async with opened() as store:
        for scheme in ("good", "evil"):
            await store.identity_providers.save_identity_provider(an_oidc_provider(scheme))
        fields = await IdentityProviderCodec(DEFAULT_TENANT, store._backends._protector).fields(
            IdentityProvider(type="oidc", scheme="evil", properties={})
        )
        raw.identity_providers.update_one({"scheme": "evil"}, {"$set": {"payload": fields["payload"]}})
        store.caches.clear()
        assert await store.identity_providers.get_by_scheme("evil") is None
        assert [name.scheme for name in await store.identity_providers.get_all_scheme_names()] == ["good"]
        assert heard.kinds() == [told_of("identity_providers.get_by_scheme", "identity_providers")]
        with pytest.raises(InvalidModel, match="Authority"):
            await store.identity_providers.read_identity_provider("evil")


class Own:
    """Configuration that lies elsewhere, in no good state; these are only read, and all of it is asked for by anybody."""

    def __init__(self, *models):
        self._models = models
        self.asked = 0

    def _of(self, kind):
        self.asked += 1
        return [model for model in self._models if isinstance(model, kind)]

    async def find_client_by_id(self, client_id):
        return next((client for client in self._of(Client) if client.client_id == client_id), None)

    async def find_enabled_client_by_id(self, client_id):
        return await self.find_client_by_id(client_id)

    async def get_all_clients(self):
        for client in self._of(Client):
            yield client

    async def read_client(self, client_id):
        return Revised(await self.find_client_by_id(client_id), 1)

    async def get_all_resources(self):
        return Resources.model_construct(
            identity_resources=self._of(IdentityResource), api_resources=self._of(ApiResource), api_scopes=[]
        )

    async def find_resources_by_scope(self, _names):
        return await self.get_all_resources()

    async def find_api_resources_by_name(self, _names):
        return self._of(ApiResource)

    async def get_all_scheme_names(self):
        return [IdentityProviderName(scheme=each.scheme) for each in self._of(IdentityProvider)]

    async def get_by_scheme(self, scheme):
        return next((each for each in self._of(IdentityProvider) if each.scheme == scheme), None)


INVALID = [
    Client(client_id="script", allowed_grant_types=["implicit"], redirect_uris=["javascript:alert(1)"]),
    a_client("negative", access_token_lifetime=-5),
    a_client("copied").model_copy(update={"redirect_uris": None}),
    Client.model_construct(client_id="constructed", enabled=True),
    IdentityResource(name="claimless"),
    ApiResource.model_construct(name="constructed", scopes=frozenset({" "})),
    IdentityProvider(type="oidc", scheme="without authority"),
]
VALID = [a_client("good"), an_identity_resource("good"), ApiResource(name="good"), an_oidc_provider("good")]


@pytest.mark.parametrize("is_cached", [False, True])
async def test_a_store_of_ones_own_serves_nothing_invalid(opened, heard, is_cached):
    """Through our caches or not: what it gives is judged as what MongoDB gives."""
    own = Own(*INVALID, *VALID)
    replacements = {"clients": own, "resources": own, "identity_providers": own}
    if is_cached:
        caches = ConfigurationCaches(CachingOptions(), FakeClock())
        replacements = {
            "clients": CachedClientStore(own, caches),
            "resources": CachedResourceStore(own, caches),
            "identity_providers": CachedIdentityProviderStore(own, caches),
        }
    async with opened(**replacements) as store:
        for _ in range(2):
            for client in INVALID[:4]:
                assert await store.clients.find_client_by_id(client.client_id) is None
                assert await store.clients.find_enabled_client_by_id(client.client_id) is None
            assert await store.clients.find_client_by_id("good") == a_client("good")
            assert [client.client_id async for client in store.clients.get_all_clients()] == ["good"]
            for found in (
                await store.resources.get_all_resources(),
                await store.resources.find_resources_by_scope(["good", "claimless", "constructed"]),
            ):
                assert [each.name for each in (*found.identity_resources, *found.api_scopes)] == ["good"]
            found = await store.resources.find_api_resources_by_name(["good", "constructed"])
            assert [each.name for each in found] == ["good"]
            assert await store.identity_providers.get_by_scheme("without authority") is None
            assert [name.scheme for name in await store.identity_providers.get_all_scheme_names()] == ["good"]
        with pytest.raises(InvalidModel, match="-5"):
            await store.clients.read_client("negative")
        assert {(event.kind, event.client_id) for event in heard} == {
            ("invalid_configuration", None),
            *(("invalid_configuration", client.client_id) for client in INVALID[:4]),
        }
        assert len(heard) == len(INVALID)


async def test_what_is_no_model_is_not_served(opened, heard):
    """A store of one's own that gives something else gives nothing."""

    class Confused(Own):
        async def find_client_by_id(self, client_id):
            return {"client_id": client_id, "redirect_uris": ["javascript:alert(1)"]}

    async with opened(clients=Confused()) as store:
        assert await store.clients.find_client_by_id("web") is None
    assert [event.kind for event in heard] == ["invalid_configuration"]
