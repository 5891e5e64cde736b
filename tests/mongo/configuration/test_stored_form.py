"""What is stored, to the byte: databases outlive the code that wrote them."""

import json
from pathlib import Path

import pytest
from bson import json_util
from pydantic import BaseModel

from mongostore.models import ApiResource, ApiScope, Client, ClientClaim, IdentityProvider, IdentityResource, Secret
from mongostore.mongo.clients import MongoClientStore
from mongostore.mongo.documents.clients import ClientFields, StoredClaim, StoredSecret
from mongostore.mongo.documents.configuration import RevisedFields
from mongostore.mongo.documents.identity_providers import IdentityProviderFields
from mongostore.mongo.documents.resources import ApiResourceFields, ScopeFields
from mongostore.mongo.identity_providers import MongoIdentityProviderStore
from mongostore.mongo.resources import MongoResourceStore
from mongostore.protection.unsafe import UnsafePlaintextProtector
from mongostore.tenancy import DEFAULT_TENANT
from mongostore.testing.factories import a_client

# Those that are `reads_only` were written by earlier versions, and are written otherwise today.
VECTORS = json.loads(Path(__file__).parents[2].joinpath("vectors", "configuration.json").read_text())


@pytest.fixture
def stores(store):
    """How each noun is saved and read; payloads are in clear, so that they have one form only."""
    with pytest.warns(RuntimeWarning, match="UnsafePlaintextProtector"):
        protector = UnsafePlaintextProtector()
    main = store._databases.main
    clients = MongoClientStore(main, DEFAULT_TENANT, protector)
    resources = MongoResourceStore(main, DEFAULT_TENANT, protector)
    providers = MongoIdentityProviderStore(main, DEFAULT_TENANT, protector)

    async def first(found):
        return (await found)[0]

    return {
        "client": (Client, "clients", clients.save_client, clients.find_client_by_id),
        "identity_resource": (
            IdentityResource,
            "scopes",
            resources.save_identity_resource,
            lambda name: first(resources.find_identity_resources_by_scope_name([name])),
        ),
        "api_scope": (
            ApiScope,
            "scopes",
            resources.save_api_scope,
            lambda name: first(resources.find_api_scopes_by_name([name])),
        ),
        "api_resource": (
            ApiResource,
            "api_resources",
            resources.save_api_resource,
            lambda name: first(resources.find_api_resources_by_name([name])),
        ),
        "identity_provider": (
            IdentityProvider,
            "identity_providers",
            providers.save_identity_provider,
            providers.get_by_scheme,
        ),
    }


def test_there_are_vectors_for_every_noun():
    """The file has each of the five, with every property set and with as few as there can be."""
    assert {vector["noun"] for vector in VECTORS} == {
        "client",
        "identity_resource",
        "api_scope",
        "api_resource",
        "identity_provider",
    }


@pytest.mark.parametrize(
    "vector", [each for each in VECTORS if not each.get("reads_only")], ids=lambda vector: vector["name"]
)
async def test_a_model_is_stored_as_ever(stores, raw, vector):
    """The document of a model has these fields, in this order, of these BSON types, and no other."""
    model, collection, save, _ = stores[vector["noun"]]
    assert await save(model.model_validate(vector["model"])) == 1
    stored = json.loads(json_util.dumps(raw[collection].find_one(), json_options=json_util.CANONICAL_JSON_OPTIONS))
    assert stored == vector["document"]
    assert list(stored) == list(vector["document"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
async def test_a_stored_document_is_read_as_ever(stores, raw, vector):
    """A document that was written once is read as the model that it was."""
    model, collection, _, find = stores[vector["noun"]]
    document = json_util.loads(json.dumps(vector["document"]), json_options=json_util.CANONICAL_JSON_OPTIONS)
    raw[collection].insert_one(document)
    found = await find(document["_id"].partition("|")[2])
    assert found.model_dump() == model.model_validate(vector["model"]).model_dump()


async def test_equal_models_make_equal_documents(store, raw):
    """Sets are stored in one order, however they were built."""
    names = [f"scope{number}" for number in range(50)]
    secrets = [Secret.sha256(name) for name in names]
    documents = []
    for step in (1, -1):
        await store.clients.save_client(a_client(allowed_scopes=names[::step], client_secrets=secrets[::step]))
        documents.append(raw.clients.find_one({}, {"revision": 0}))
    assert documents[0] == documents[1]
    assert documents[0]["allowed_scopes"] == sorted(names)


@pytest.mark.parametrize(
    ("fields", "models", "own"),
    [
        (ClientFields, [Client], {"cors_origins", "payload"}),
        (ScopeFields, [IdentityResource, ApiScope], {"kind"}),
        (ApiResourceFields, [ApiResource], {"payload"}),
        (IdentityProviderFields, [IdentityProvider], {"payload", "properties"}),
        (StoredSecret, [Secret], set()),
        (StoredClaim, [ClientClaim], set()),
    ],
)
def test_no_property_is_forgotten(fields: type[BaseModel], models: list[type[BaseModel]], own: set[str]):
    """Every property of a model has a field, and every field is one of the model or one of the document's own."""
    for model in models:
        assert set(fields.model_fields) - set(RevisedFields.model_fields) ^ set(model.model_fields) == own
