"""Caches in front of MongoDB: one query for many, none when warm, and every node hears of every change."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandListener

from mongostore import CachingOptions, DatabasePerTenant, LocalMasterKey, MongoStore, StoreOptions
from mongostore.models import ApiScope, OidcProvider
from mongostore.testing import FakeClock
from mongostore.testing.factories import a_client

MASTER_KEY = LocalMasterKey.generate()
ORIGIN = "https://app.example.com"


class Commands(CommandListener):
    """What went over the wire since the last look, change streams aside."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event) -> None:
        if event.command_name not in ("getMore", "aggregate", "hello", "ping"):
            self.names.append(event.command_name)

    def succeeded(self, event) -> None:
        pass

    def failed(self, event) -> None:
        pass


@asynccontextmanager
async def a_node(uri: str, database: str, listener: Commands | None = None, **options) -> AsyncIterator[MongoStore]:
    async with AsyncMongoClient(uri, event_listeners=[listener] if listener else []) as client:
        store = MongoStore(
            client, database=database, master_key=MASTER_KEY, options=StoreOptions(**options), clock=FakeClock()
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # These tests need no schema.
            await store.open()
        try:
            async with asyncio.timeout(60):
                while store._feed is not None and not store._feed.is_listening:
                    await asyncio.sleep(0.01)
            yield store
        finally:
            await store.close()


async def eventually(condition) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.002)


async def test_a_thousand_lookups_of_a_cold_client_are_one_query(mongo_uri, database_name):
    """Whoever asks for a client that is being read waits for that read."""
    commands = Commands()
    async with a_node(mongo_uri, database_name, commands) as store:
        await store.clients.save_client(a_client())
        commands.names.clear()
        found = await asyncio.gather(*(store.clients.find_client_by_id("web") for _ in range(1_000)))
        assert found == [a_client().model_copy(update={"client_secrets": found[0].client_secrets})] * 1_000
        assert commands.names == ["find"]


async def test_a_warm_lookup_issues_no_command(mongo_uri, database_name):
    """Clients, resources, origins and providers are answered from memory, absences too."""
    commands = Commands()
    async with a_node(mongo_uri, database_name, commands) as store:
        await store.clients.save_client(a_client(allowed_cors_origins=[ORIGIN]))
        await store.resources.save_api_scope(ApiScope(name="orders.read"))
        await store.identity_providers.save_identity_provider(
            OidcProvider(scheme="acme", authority="https://acme.example.com", client_id="us")
        )

        async def look() -> None:
            assert await store.clients.find_enabled_client_by_id("web") is not None
            assert await store.clients.find_client_by_id("nobody") is None
            assert await store.cors_policy.is_origin_allowed(ORIGIN)
            assert not await store.cors_policy.is_origin_allowed("https://other.example.com")
            assert (await store.resources.find_resources_by_scope(["orders.read"])).api_scopes
            assert await store.identity_providers.get_by_scheme("acme") is not None
            assert await store.identity_providers.get_all_scheme_names()

        await look()
        commands.names.clear()
        for _ in range(10):
            await look()
        assert commands.names == []
        assert store.caches.statistics()["clients"].hits >= 20
        store.caches.clear()
        await look()
        assert commands.names != []


async def test_a_warm_lookup_costs_a_tenth_of_a_query(mongo_uri, database_name, steps_of):
    """In the interpreter's steps: a client is neither built nor copied again."""
    # Before the other two listen: the change would make them forget while they are watched.
    async with a_node(mongo_uri, database_name, telemetry=False, caching=None) as writer:
        await writer.clients.save_client(a_client())
    async with (
        a_node(mongo_uri, database_name, telemetry=False) as cached,
        a_node(mongo_uri, database_name, telemetry=False, caching=None) as uncached,
    ):
        taken = []
        for store in (cached, uncached):
            await store.clients.find_client_by_id("web")
            with steps_of() as steps:
                assert await store.clients.find_client_by_id("web") is not None
            taken += steps
        warm, query = taken
        print(f"\na warm look-up takes {warm} steps, a query {query}")
        assert 0 < warm < query / 10


async def test_a_write_through_the_same_store_is_visible_at_once(mongo_uri, database_name):
    """Nobody who saves has to wait for the change stream to see it."""
    async with a_node(mongo_uri, database_name) as store:
        for name in ("first", "second"):
            await store.clients.save_client(
                a_client(client_name=name, allowed_cors_origins=[f"https://{name}.example.com"])
            )
            assert (await store.clients.find_client_by_id("web")).client_name == name
            assert await store.cors_policy.is_origin_allowed(f"https://{name}.example.com")
        assert not await store.cors_policy.is_origin_allowed("https://first.example.com")
        await store.clients.delete_client("web")
        assert await store.clients.find_client_by_id("web") is None


@pytest.mark.parametrize("placement", ["shared", "per tenant"])
async def test_another_nodes_changes_are_heard_of(mongo_uri, database_name, placement):
    """What one node saves or deletes, the other serves or misses, for every kind and every tenant."""
    tenancy = {"tenancy": DatabasePerTenant(pattern=f"{database_name}_{{tenant}}")} if placement == "per tenant" else {}
    options = {**tenancy, "operation_timeout": timedelta(seconds=30)}
    async with (
        a_node(mongo_uri, database_name, **options) as here,
        a_node(mongo_uri, database_name, **options) as there,
    ):
        for slug in ("default", "acme"):
            ours, theirs = here.for_tenant(slug), there.for_tenant(slug)
            assert await theirs.clients.find_client_by_id("web") is None
            assert not await theirs.cors_policy.is_origin_allowed(ORIGIN)
            assert (await theirs.resources.get_all_resources()).api_scopes == []
            assert await theirs.identity_providers.get_all_scheme_names() == []
            await ours.clients.save_client(a_client(allowed_cors_origins=[ORIGIN]))
            await ours.resources.save_api_scope(ApiScope(name="orders.read"))
            await ours.identity_providers.save_identity_provider(
                OidcProvider(scheme="acme", authority="https://acme.example.com", client_id="us")
            )

            async def all_there(stores=theirs) -> bool:
                return (
                    await stores.clients.find_client_by_id("web") is not None
                    and await stores.cors_policy.is_origin_allowed(ORIGIN)
                    and len((await stores.resources.get_all_resources()).api_scopes) == 1
                    and await stores.identity_providers.get_by_scheme("acme") is not None
                    and len(await stores.identity_providers.get_all_scheme_names()) == 1
                )

            await eventually(all_there)
            await ours.clients.delete_client("web")

            async def gone(stores=theirs) -> bool:
                allowed = await stores.cors_policy.is_origin_allowed(ORIGIN)
                return await stores.clients.find_client_by_id("web") is None and not allowed

            await eventually(gone)


async def test_a_cut_stream_is_taken_up_again(needs_own_server, mongo_uri, database_name):
    """With the server's connections killed, changes made meanwhile are seen, without a restart."""
    async with a_node(mongo_uri, database_name) as here, a_node(mongo_uri, database_name) as there:
        await here.clients.save_client(a_client(client_name="0"))
        for number in range(1, 3):
            assert await there.clients.find_client_by_id("web") is not None
            await asyncio.to_thread(needs_own_server.kill, 0)
            await asyncio.to_thread(needs_own_server.start, 0)
            await here.clients.save_client(a_client(client_name=str(number)))

            async def seen(name=str(number)) -> bool:
                return (await there.clients.find_client_by_id("web")).client_name == name

            await eventually(seen)


async def test_a_dropped_database_flushes_the_caches(mongo_uri, database_name, mongo_connection: MongoClient):
    """Whatever ends the stream, nothing outdated survives it, and listening goes on."""
    async with a_node(mongo_uri, database_name) as store:
        await store.clients.save_client(a_client())
        assert await store.clients.find_client_by_id("web") is not None
        mongo_connection.drop_database(database_name)

        async def gone() -> bool:
            return await store.clients.find_client_by_id("web") is None

        await eventually(gone)
        mongo_connection[database_name]["clients"].insert_one({"_id": "default|raw"})

        async def heard() -> bool:
            return store._feed.is_listening

        await eventually(heard)


async def test_without_change_streams_values_expire(mongo_uri, database_name):
    """What nobody tells of is seen when its time is over."""
    caching = CachingOptions(client_store_expiration=timedelta(minutes=1))
    async with a_node(mongo_uri, database_name, caching=caching) as deaf, a_node(mongo_uri, database_name) as other:
        await deaf._feed.stop()
        await other.clients.save_client(a_client(client_name="first"))
        assert (await deaf.clients.find_client_by_id("web")).client_name == "first"
        await other.clients.save_client(a_client(client_name="second"))
        assert (await deaf.clients.find_client_by_id("web")).client_name == "first"
        deaf.clock.advance(timedelta(minutes=1))
        assert (await deaf.clients.find_client_by_id("web")).client_name == "second"


async def test_caching_can_be_turned_off(mongo_uri, database_name):
    """With caching=None every look-up is a query, and no stream is opened."""
    commands = Commands()
    async with a_node(mongo_uri, database_name, commands, caching=None) as store:
        assert store._feed is None
        commands.names.clear()
        for _ in range(3):
            await store.clients.find_client_by_id("web")
        assert commands.names == ["find"] * 3


@pytest.mark.parametrize(
    "wrong",
    [{"client_store_expiration": timedelta(0)}, {"cors_expiration": 5}, {"max_entries": 0}, {"max_entries": 1.5}],
)
def test_wrong_options_are_refused(wrong):
    """An option that can't work says so, by name."""
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        CachingOptions(**wrong)
