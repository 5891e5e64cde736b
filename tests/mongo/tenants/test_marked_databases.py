"""Only a registered tenant's database that bears our mark is dropped; everything else is left as it is."""

from datetime import timedelta

import pytest
from pymongo import MongoClient

from mongostore import ConfigurationError
from mongostore.options import StoreOptions
from mongostore.tenancy import DatabasePerTenant
from mongostore.testing.factories import a_grant

MARKS = "tenant_database"
LIMIT = timedelta(seconds=2)


@pytest.fixture
def opened(open_deployment, database_name):
    """Opens a deployment with a database per tenant; `more` for its options."""

    def make(database=database_name, **options):
        tenancy = DatabasePerTenant(pattern=f"{database_name}_{{tenant}}")
        given = StoreOptions(tenancy=tenancy, operation_timeout=LIMIT, **options)
        return open_deployment(database, "per tenant", more={"options": given})

    return make


async def test_a_database_that_was_made_for_a_tenant_says_so(opened, mongo_connection: MongoClient, database_name):
    """The mark names the tenant, the main database and the prefix, and goes with the database."""
    async with opened(collection_prefix="idp_") as store:
        await store.for_tenant("acme").persisted_grants.store(a_grant())
        [mark] = mongo_connection[f"{database_name}_acme"][f"idp_{MARKS}"].find()
        assert mark.pop("created")
        assert mark == {"_id": "acme", "tenant": "acme", "main": database_name, "prefix": "idp_"}
        assert await store.tenants.delete("acme") == 0
        assert f"{database_name}_acme" not in mongo_connection.list_database_names()


async def test_a_database_of_somebody_else_is_neither_used_nor_dropped(
    opened, mongo_connection: MongoClient, database_name
):
    """For a slug that was never registered, whatever lies under its name stays, by deletion and by creation."""
    theirs = mongo_connection[f"{database_name}_acme"]
    theirs["orders"].insert_one({"_id": 1})
    async with opened() as store:
        assert await store.tenants.delete("acme") == 0
        with pytest.raises(ConfigurationError, match="orders"):
            await store.tenants.create("acme")
        with pytest.raises(ConfigurationError, match="orders"):
            await store.for_tenant("acme").persisted_grants.store(a_grant())
        assert await store.tenants.list() == []
    assert theirs.list_collection_names() == ["orders"]
    assert theirs["orders"].count_documents({}) == 1


@pytest.mark.parametrize("collection", ["grants", "tenants", "data_keys"])
async def test_the_database_of_another_deployment_is_not_adopted(
    collection, opened, mongo_connection: MongoClient, database_name
):
    """One whose collections are called as ours: another deployment's main or key-ring database, or its only one."""
    mongo_connection[f"{database_name}_acme"][collection].insert_one({"_id": "a|b", "tenant": "a"})
    async with opened() as store:
        with pytest.raises(ConfigurationError, match=f"{database_name}_acme"):
            await store.tenants.create("acme")
        await store.tenants.delete("acme")
    assert mongo_connection[f"{database_name}_acme"].list_collection_names() == [collection]


@pytest.mark.parametrize("options", [{"database": "{}_second"}, {"collection_prefix": "second_"}], ids=str)
async def test_two_deployments_with_one_pattern_keep_apart(
    options, opened, mongo_connection: MongoClient, database_name
):
    """The first to make a tenant's database has it; the other neither creates such a tenant nor drops that database."""
    named = {name: value.format(database_name) for name, value in options.items()}
    async with opened() as first, opened(**named) as second:
        await first.tenants.create("acme")
        with pytest.raises(ConfigurationError, match=f"{database_name}_acme"):
            await second.tenants.create("acme")
        # As it would be if it had been registered by an earlier version, which made no marks.
        await second.tenants._registry.register("acme")
        with pytest.raises(ConfigurationError, match=f"{database_name}_acme"):
            await second.tenants.delete("acme")
        assert await second.tenants.list() == ["acme"]
        assert f"{database_name}_acme" in mongo_connection.list_database_names()


async def test_a_database_of_an_earlier_version_is_marked_by_creating_the_tenant_again(
    opened, mongo_connection: MongoClient, database_name
):
    """Without a mark it isn't dropped, and the tenant goes on; the error says what to do, and that helps."""
    async with opened() as store:
        acme = store.for_tenant("acme")
        await acme.persisted_grants.store(a_grant("k"))
        mongo_connection[f"{database_name}_acme"].drop_collection(MARKS)
        with pytest.raises(ConfigurationError, match=r"store\.tenants\.create\('acme'\)"):
            await store.tenants.delete("acme")
        assert await acme.persisted_grants.get("k") is not None
        await acme.persisted_grants.store(a_grant("still there"))
        assert await store.tenants.create("acme") is False
        await store.tenants.delete("acme")
        assert await store.tenants.list() == []
        assert f"{database_name}_acme" not in mongo_connection.list_database_names()


async def test_a_tenants_database_that_holds_something_else_is_not_dropped(
    opened, mongo_connection: MongoClient, database_name
):
    """Marked or not: what somebody else put there is named, and the tenant goes on."""
    async with opened() as store:
        acme = store.for_tenant("acme")
        await acme.persisted_grants.store(a_grant("k"))
        theirs = mongo_connection[f"{database_name}_acme"]["orders"]
        theirs.insert_one({})
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="orders"):
                await store.tenants.delete("acme")
            await acme.persisted_grants.store(a_grant("still there"))
            mongo_connection[f"{database_name}_acme"].drop_collection(MARKS)
            assert await store.tenants.create("acme") is False  # It is not marked again while that is there.
        assert theirs.count_documents({}) == 1
        theirs.drop()
        assert await store.tenants.create("acme") is False
        await store.tenants.delete("acme")
        assert f"{database_name}_acme" not in mongo_connection.list_database_names()


async def test_a_creation_that_was_cut_off_can_be_repeated(opened, mongo_connection: MongoClient, database_name):
    """What it left is marked, or empty."""
    async with opened() as store:
        await store.tenants.create("acme")
        mongo_connection[database_name]["tenants"].delete_one({"_id": "acme"})
        assert await store.tenants.create("acme") is True
        mongo_connection[database_name]["tenants"].delete_one({"_id": "acme"})
        mongo_connection[f"{database_name}_acme"].drop_collection(MARKS)
        assert await store.tenants.create("acme") is True
        assert mongo_connection[f"{database_name}_acme"][MARKS].count_documents({}) == 1
