"""A tenant never gets a database that has another purpose: what is dropped with the tenant must be the tenant's alone."""

import asyncio

import pytest
from pymongo import MongoClient

from mongostore import DatabasePerTenant, LocalMasterKey, MemoryStore, MongoStore, StoreOptions
from mongostore.cli import main
from mongostore.testing.factories import a_client, a_grant

# Slugs are lower case, and a clash that differs by case only is one to MongoDB: hence "Keys".
APART = {"key_ring_database": "{}_Keys", "configuration_database": "{}_configuration"}
TAKEN = {"keys": "key ring", "configuration": "configuration", "main": "store's own"}


@pytest.mark.parametrize("slug", TAKEN)
async def test_a_tenant_gets_no_database_of_the_deployment(slug, open_deployment, database_name):
    """Neither is such a tenant named, created or deleted, nor does anything happen to the database; case aside."""
    more = {name: pattern.format(database_name) for name, pattern in APART.items()}
    pattern = f"{database_name}_{{tenant}}"
    async with open_deployment(f"{database_name}_main", "per tenant", pattern=pattern, more=more) as store:
        await store.clients.save_client(a_client())
        await store.persisted_grants.store(a_grant())
        keys = (await store.key_ring.status()).keys
        for refused in (store.for_tenant, store.tenants.create, store.tenants.delete):
            with pytest.raises(ValueError, match=TAKEN[slug]):
                await refused(slug)
        assert await store.tenants.list() == []
        assert (await store.key_ring.status()).keys == keys
        assert await store.clients.find_client_by_id("web") is not None


@pytest.mark.parametrize("slug", ["admin", "config", "local"])
@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "mongo"])
async def test_a_tenant_gets_no_database_of_mongodbs_own(slug, in_memory, mongo_uri):
    """Users, sharding and replication are MongoDB's; nothing is asked of it to find that out."""
    options = StoreOptions(tenancy=DatabasePerTenant(pattern="{tenant}"), telemetry=False)
    key = LocalMasterKey.generate()
    store = (
        MemoryStore(options=options)
        if in_memory
        else MongoStore(mongo_uri, database="d", master_key=key, options=options)
    )
    for refused in (store.for_tenant, store.tenants.create, store.tenants.delete):
        with pytest.raises(ValueError, match="MongoDB's own"):
            await refused(slug)


def test_the_default_tenant_needs_a_database_of_its_own_too(mongo_uri):
    """A deployment whose main database is that of the tenant `default` is refused when it is put together."""
    for names in (
        {"database": "identity_default"},
        {"database": "identity", "key_ring_database": "IDENTITY_default"},
        {"database": "identity", "configuration_database": "identity_default"},
    ):
        options = StoreOptions(tenancy=DatabasePerTenant(pattern="identity_{tenant}"))
        with pytest.raises(ValueError, match="'default'"):
            MongoStore(mongo_uri, master_key=LocalMasterKey.generate(), options=options, **names)


def test_in_a_shared_database_any_slug_will_do(mongo_uri):
    """There, a slug names no database."""
    store = MongoStore(mongo_uri, database="keys", key_ring_database="admins", master_key=LocalMasterKey.generate())
    for slug in ("keys", "admin", "admins", "config"):
        store.for_tenant(slug)


async def test_the_schema_command_refuses_a_tenant_without_a_place(
    mongo_uri, mongo_connection: MongoClient, database_name, monkeypatch, capsys
):
    """A tenant that was registered before its database was needed for something else stops the command; nothing is made."""
    monkeypatch.setenv("MONGOSTORE_URI", mongo_uri)
    monkeypatch.setenv("MONGOSTORE_DATABASE", database_name)
    mongo_connection[database_name]["tenants"].insert_one({"_id": "keys", "tenant": "keys"})
    words = ["--tenant-pattern", f"{database_name}_{{tenant}}", "--key-ring-database", f"{database_name}_keys"]
    code = await asyncio.to_thread(main, ["schema", "apply", *words, "--all-tenants"])
    assert code == 2
    assert "'keys'" in capsys.readouterr().err
    assert f"{database_name}_keys" not in mongo_connection.list_database_names()
