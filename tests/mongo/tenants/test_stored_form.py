"""How tenants' entries and the marks of their databases lie in MongoDB, frozen by vectors."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from pymongo import MongoClient

from mongostore.stores.tenants import TenantEntry
from mongostore.testing.factories import a_grant

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tenants.json").read_text(encoding="utf-8"))
INSTANTS = ("created", "leaving_since")


def stored(document):
    """A vector's document as BSON has it."""
    return {name: datetime.fromisoformat(value) if name in INSTANTS else value for name, value in document.items()}


@pytest.mark.parametrize("vector", VECTORS["entries"], ids=lambda vector: vector["name"])
async def test_every_form_of_an_entry_is_read(vector, open_deployment, mongo_connection: MongoClient, database_name):
    """Also the first version's, which knew neither incarnations nor tenants that are leaving; all of them can go."""
    async with open_deployment(database_name, tenants="registered", brief=True) as store:
        mongo_connection[database_name]["tenants"].insert_one(stored(vector["document"]))
        expected = TenantEntry(vector["incarnation"], vector["is_leaving"])
        assert await store.tenants._registry.find("acme") == expected
        if not vector["is_leaving"]:
            await store.for_tenant("acme").persisted_grants.store(a_grant())
        assert await store.tenants.delete("acme") == (not vector["is_leaving"])
        assert await store.tenants.list() == []


async def test_what_is_written_has_the_form_of_the_vectors(
    open_deployment, mongo_connection: MongoClient, database_name
):
    """Of an entry and of a mark: the same fields, of the same types."""
    async with open_deployment(database_name, "per tenant") as store:
        await store.tenants.create("acme")
    [entry] = mongo_connection[database_name]["tenants"].find()
    [mark] = mongo_connection[f"{database_name}_acme"]["tenant_database"].find()
    for found, vector in ((entry, VECTORS["entries"][1]["document"]), (mark, VECTORS["mark"])):
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in stored(vector).items()
        }
