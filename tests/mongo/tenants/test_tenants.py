"""Tenants: who may come into being and by what, where their data lie, what they cost, and how they go."""

import gc
from collections.abc import Callable
from weakref import WeakSet, ref

import pytest
from beanie import Document
from beanie.odm.actions import ActionRegistry
from pymongo import MongoClient

from mongostore import (
    ConfigurationError,
    DatabasePerTenant,
    LocalMasterKey,
    MemoryStore,
    MongoStore,
    NotFound,
)
from mongostore.models import ApiScope
from mongostore.mongo.documents.grants import GrantFields
from mongostore.testing.factories import (
    a_client,
    a_device_code,
    a_grant,
    a_refresh_token,
    a_session,
    an_authorization_code,
)


async def test_reading_for_a_tenant_brings_nothing_into_being(deployment):
    """A stranger's host name, asked for a thousand times, leaves no trace."""
    stranger = deployment.for_tenant("stranger")
    assert await stranger.clients.find_client_by_id("web") is None
    assert await stranger.persisted_grants.get("k") is None
    assert await stranger.persisted_grants.remove("k") is False
    assert (await stranger.refresh_tokens.rotate_refresh_token("h", a_refresh_token())).outcome == "unknown"
    assert await deployment.tenants.list() == []
    await stranger.clients.save_client(a_client())
    assert await deployment.tenants.list() == ["stranger"]


async def test_changing_what_is_not_there_brings_nothing_into_being(deployment):
    """A change that is sealed before it finds nothing leaves no key of a stranger, and no tenant."""
    stranger = deployment.for_tenant("stranger")
    for change in (
        lambda: stranger.refresh_tokens.update_refresh_token("h", a_refresh_token()),
        lambda: stranger.device_flow.update_by_user_code("USER", a_device_code()),
        lambda: stranger.server_side_sessions.update_session(a_session()),
    ):
        with pytest.raises(NotFound):
            await change()
    assert (await stranger.key_ring.status()).keys == ()
    assert await deployment.tenants.list() == []


async def test_deleting_a_tenant_removes_its_data_and_nothing_else(brief_deployment):
    """What the tenant had is gone, what others have stays, and doing it again does no harm."""
    gone, stays, default = (
        brief_deployment.for_tenant("gone"),
        brief_deployment.for_tenant("gone-not"),
        brief_deployment,
    )
    for stores in (gone, stays, default):
        await stores.clients.save_client(a_client())
        await stores.persisted_grants.store(a_grant("k"))
    await brief_deployment.tenants.delete("gone")
    await brief_deployment.tenants.delete("gone")
    gone = brief_deployment.for_tenant("gone")
    assert await gone.clients.find_client_by_id("web") is None
    assert await gone.persisted_grants.get("k") is None
    for stores in (stays, default):
        assert await stores.clients.find_client_by_id("web") is not None
        assert await stores.persisted_grants.get("k") is not None
    assert await brief_deployment.tenants.list() == ["gone-not"]


async def test_the_default_tenant_is_not_deleted(deployment):
    """A deployment without tenants lives there."""
    with pytest.raises(ValueError, match="default"):
        await deployment.tenants.delete("default")


@pytest.mark.parametrize("slug", ["", "A", "a|b", "-a", "a" * 64, "a_b", "ä", "a\n"])
async def test_a_malformed_slug_is_refused(deployment, slug):
    """What is no slug names nobody."""
    with pytest.raises(ValueError, match="tenant"):
        deployment.for_tenant(slug)
    with pytest.raises(ValueError, match="tenant"):
        await deployment.tenants.create(slug)


async def test_offboarding_from_a_shared_database_shows_progress(open_deployment, database_name):
    """The caller is told how far each collection is, in batches."""
    async with open_deployment(database_name, brief=True) as store:
        acme = store.for_tenant("acme")
        for number in range(3):
            await acme.persisted_grants.store(a_grant(str(number)))
        told: list[tuple[str, int]] = []
        removed = await store.tenants.delete("acme", on_progress=lambda *progress: told.append(progress))
        assert ("grants", 3) in told
        assert removed == sum(count for _, count in told)


async def test_only_registered_tenants_write_where_that_is_wanted(open_deployment, database_name):
    """A tenant that nobody created can't write, and becomes able to once it is created."""
    async with open_deployment(database_name, tenants="registered") as store:
        acme = store.for_tenant("acme")
        for write in (
            lambda: acme.clients.save_client(a_client()),
            lambda: acme.persisted_grants.store(a_grant()),
            lambda: acme.authorization_codes.store_authorization_code(an_authorization_code()),
            acme.key_ring.rotate,
            acme.signing.rotate,
        ):
            with pytest.raises(NotFound, match="acme"):
                await write()
        assert await store.tenants.create("acme") is True
        assert await store.tenants.create("acme") is False
        await acme.clients.save_client(a_client())
        await store.clients.save_client(a_client())


async def test_a_tenants_database_has_the_schema_from_its_first_write(
    open_deployment, mongo_connection: MongoClient, database_name
):
    """Opening a tenant takes no index work; bringing it into being applies the schema to its own database."""
    async with open_deployment(database_name, "per tenant") as store:
        acme = store.for_tenant("acme")
        await acme.persisted_grants.get("k")
        assert f"{database_name}_acme" not in mongo_connection.list_database_names()
        await acme.persisted_grants.store(a_grant())
        assert "by_subject" in mongo_connection[f"{database_name}_acme"]["grants"].index_information()
        assert "grants" not in mongo_connection[database_name].list_collection_names()
        assert mongo_connection[database_name]["data_keys"].count_documents({"tenant": "acme"}) == 1


async def test_opening_and_health_look_at_the_default_tenant_s_database(open_deployment, database_name):
    """Where each tenant has a database, that of `default` is prepared by the deploy step, too, and missed when it is not."""
    async with open_deployment(database_name, "per tenant", bare=True) as store:
        report = await store.health()
    [schema] = [check for check in report.checks if check.name == "schema"]
    assert schema.status == "degraded"
    assert f"differences in database '{database_name}_default'" in schema.detail


@pytest.fixture
def prepared(database_name) -> Callable[[], list[type[Document]]]:
    """Lists the documents that Beanie holds prepared for databases of the test."""

    def listed() -> list[type[Document]]:
        for _ in range(2):  # What goes with a binding is only found by the next collection.
            gc.collect()
        return [each for each in ActionRegistry._actions if database_of(each).startswith(database_name)]

    return listed


def database_of(document: type[Document]) -> str:
    return document.get_pymongo_collection().database.name


async def test_what_is_prepared_for_tenants_is_bounded(open_deployment, database_name, prepared):
    """Documents are kept for as many tenants as the placement says; the others' are gone, and made again when needed."""
    async with open_deployment(database_name, "per tenant", max_open=2) as store:
        classes: WeakSet[type[Document]] = WeakSet()
        for _ in range(2):
            for slug in ("a", "b", "c", "d"):
                await store.for_tenant(slug).clients.save_client(a_client(client_name=slug))
                await store.for_tenant(slug).resources.save_api_scope(ApiScope(name="s"))
                classes.update(prepared())
        assert sorted(map(database_of, prepared())) == [f"{database_name}_{slug}" for slug in ("c", "c", "d", "d")]
        assert len(classes) == 4
        for slug in ("a", "b", "c", "d"):
            assert (await store.for_tenant(slug).clients.find_client_by_id("web")).client_name == slug


async def test_a_tenant_in_use_stays_whole_beyond_the_bound(open_deployment, database_name, prepared):
    """What a caller holds goes on working, its documents' guards against unsealed payloads included."""
    async with open_deployment(database_name, "per tenant", max_open=1) as store:
        held = store.for_tenant("held")
        await held.clients.save_client(a_client())
        binding = ref(store._databases.operational("held"))
        for slug in ("a", "b"):
            await store.for_tenant(slug).clients.save_client(a_client())
        assert [database_of(each) for each in prepared()] == [f"{database_name}_held", f"{database_name}_b"]
        assert store._databases.operational("held") is binding(), "two bindings of one database"
        grants = await binding().document(GrantFields)
        unsealed = {"id": "held|k", "tenant": "held", "key": "k", "payload": b"plain"}
        with pytest.raises(TypeError, match="not sealed"):
            await grants.model_construct(**unsealed).insert()
        assert (await held.clients.find_client_by_id("web")).client_id == "web"
        del held, grants
        assert [database_of(each) for each in prepared()] == [f"{database_name}_b"]
        assert binding() is None


async def test_a_database_name_that_is_too_long_is_refused(open_deployment, database_name):
    """MongoDB's 63 bytes hold before anything is written."""
    async with open_deployment(database_name, "per tenant", bare=True, pattern="x" * 40 + "{tenant}") as store:
        store.for_tenant("a" * 23)
        with pytest.raises(ValueError, match="63"):
            store.for_tenant("a" * 24)
        with pytest.raises(ValueError, match="63"):
            await store.tenants.create("a" * 24)
        assert await store.tenants.list() == []


@pytest.mark.parametrize("pattern", ["identity", "{tenant}{tenant}", "a/{tenant}", "{tenant}{x}", ""])
def test_a_pattern_that_two_tenants_would_share_is_refused(pattern):
    """A pattern names the tenant exactly once."""
    with pytest.raises(ValueError):
        DatabasePerTenant(pattern=pattern)


async def test_configuration_and_key_ring_in_databases_of_their_own(
    open_deployment, mongo_connection: MongoClient, database_name
):
    """Each half lies where it was put, and everything works as before."""
    names = {"configuration_database": f"{database_name}_c", "key_ring_database": f"{database_name}_k"}
    async with open_deployment(database_name, bare=True, more=names) as store:
        await store.clients.save_client(a_client())
        await store.persisted_grants.store(a_grant("k"))
        assert await store.persisted_grants.get("k") is not None
    assert mongo_connection[names["configuration_database"]]["clients"].count_documents({}) == 1
    assert mongo_connection[names["key_ring_database"]]["data_keys"].count_documents({}) == 1
    assert mongo_connection[database_name].list_collection_names() == ["grants"]


async def test_a_replaced_store_is_used_and_needs_to_know_tenants(open_deployment, database_name):
    """The user's own client store serves; for another tenant it must be made for that tenant."""
    mine = MemoryStore().clients
    await mine.save_client(a_client("mine"))
    async with open_deployment(database_name, more={"clients": mine}) as store:
        assert await store.clients.find_client_by_id("mine") is not None
        with pytest.raises(ConfigurationError, match="clients"):
            store.for_tenant("acme")
    made: list[str] = []

    def clients_of(tenant):
        made.append(tenant)
        return MemoryStore().clients

    async with open_deployment(database_name, more={"clients": clients_of}) as store:
        assert await store.for_tenant("acme").clients.find_client_by_id("mine") is None
        assert made == ["default", "acme"]


def test_half_a_replacement_is_refused(mongo_uri):
    """Persisted grants and grant records are two views of the same grants."""
    with pytest.raises(ConfigurationError, match="grant_records"):
        MongoStore(
            mongo_uri,
            database="d",
            master_key=LocalMasterKey.generate(),
            persisted_grants=MemoryStore().persisted_grants,
        )
    with pytest.raises(TypeError, match="client_store"):
        MongoStore(mongo_uri, database="d", master_key=LocalMasterKey.generate(), client_store=MemoryStore().clients)
