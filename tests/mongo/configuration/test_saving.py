"""How saves behave where MongoDB makes it hard: hooks, lost counters, overtaken writers, other tenants."""

import asyncio

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from mongostore.errors import StaleRevision
from mongostore.models import ApiScope, Resources
from mongostore.mongo.documents.clients import ClientFields
from mongostore.mongo.documents.identity_providers import IdentityProviderFields
from mongostore.testing.contracts.filled_models import an_identity_resource, an_oidc_provider
from mongostore.testing.factories import a_client


@pytest.mark.parametrize("expected_revision", ["none", "new", "its own"])
async def test_every_write_passes_the_hooks(store, raw, monkeypatch, expected_revision):
    """Beanie's hooks see inserts and replacements: a field that must be sealed and is not stops either."""
    revision = 0
    if expected_revision != "new":
        revision = await store.clients.save_client(a_client(client_name="old"))
    monkeypatch.setattr(ClientFields, "sealed_fields", ("client_name",))
    with pytest.raises(TypeError, match="not sealed"):
        await store.clients.save_client(
            a_client(client_name="new"), expected_revision=None if expected_revision == "none" else revision
        )
    assert raw.clients.count_documents({"client_name": "new"}) == 0


async def test_secrets_of_a_provider_are_nowhere_in_clear(store, raw):
    """No value of a provider's properties, nor their names, can be read in the database."""
    await store.identity_providers.save_identity_provider(an_oidc_provider(properties={"ApiKey": "swordfish"}))
    undecoded = raw.identity_providers.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
    stored = undecoded.find_one().raw
    for clear in (b"hunter2", b"swordfish", b"ApiKey", b"ClientSecret", b"acme.example"):
        assert clear not in stored
    assert IdentityProviderFields.sealed_fields == ("payload",)


async def test_revisions_go_on_after_the_counter_was_lost(store, raw):
    """A save never gives a number that a stored client has or had: it goes on above the stored one."""
    for _ in range(5):
        revision = await store.clients.save_client(a_client())
    for expected_revision in (None, revision + 1):
        raw.revisions.delete_many({})
        assert await store.clients.save_client(a_client(), expected_revision=expected_revision) == revision + 1
        revision += 1
    raw.revisions.delete_many({})
    with pytest.raises(StaleRevision) as stale:
        await store.clients.save_client(a_client(), expected_revision=1)
    assert stale.value.actual == revision


async def test_an_overtaken_writer_never_puts_an_older_revision_over_a_newer(store, raw):
    """Whoever drew first and wrote last draws again, once, however far the other is ahead."""
    await store.clients.save_client(a_client())
    raw.clients.update_one({}, {"$set": {"revision": 2**40, "client_name": "overtaker"}})
    assert await store.clients.save_client(a_client(client_name="overtaken")) == 2**40 + 1
    assert raw.clients.find_one()["client_name"] == "overtaken"


async def test_a_first_save_by_many_makes_one_counter(store, raw):
    """Concurrent first savers of a tenant draw from one counter."""
    revisions = await asyncio.gather(*(store.clients.save_client(a_client(f"client{n}")) for n in range(20)))
    assert sorted(revisions) == list(range(1, 21))
    assert list(raw.revisions.find()) == [{"_id": "default|configuration", "tenant": "default", "value": 20}]


async def test_a_client_without_revision_can_be_saved_anew(store, raw):
    """A record whose revision was removed from outside is repaired by a save without expectation."""
    await store.clients.save_client(a_client())
    raw.clients.update_one({}, {"$unset": {"revision": 1}})
    revision = await store.clients.save_client(a_client())
    assert await store.clients.get_client_revision("web") == revision


async def test_tenants_do_not_meet(store, raw):
    """Under the same names, tenants in one database find, list, replace and delete their own; also next in the alphabet."""
    slugs = ("acme", "acme-2", "acmf")
    for slug in slugs:
        await store.tenants.create(slug)
    one, two, three = (_stores(store, slug) for slug in slugs)
    for clients, resources, _, providers in (one, two, three):
        assert [client async for client in clients.get_all_clients()] == []
        await clients.save_client(a_client(allowed_cors_origins={"https://app.example"}), expected_revision=0)
        await resources.save_identity_resource(an_identity_resource("a"), expected_revision=0)
        await resources.save_api_scope(ApiScope(name="b"), expected_revision=0)
        await providers.save_identity_provider(an_oidc_provider(), expected_revision=0)
    clients, resources, _, providers = one
    assert await clients.delete_client("web")
    assert await resources.delete_identity_resource("a")
    assert await resources.delete_api_scope("b")
    assert await providers.delete_identity_provider("acme")
    assert [client async for client in clients.get_all_clients()] == []
    assert await resources.get_all_resources() == Resources()
    assert await providers.get_all_scheme_names() == []
    for clients, resources, cors_policy, providers in (two, three):
        assert [client.client_id async for client in clients.get_all_clients()] == ["web"]
        found = await resources.get_all_resources()
        assert [each.name for each in (*found.identity_resources, *found.api_scopes)] == ["a", "b"]
        assert await cors_policy.is_origin_allowed("https://app.example") is True
        assert [name.scheme for name in await providers.get_all_scheme_names()] == ["acme"]
        assert await providers.get_by_scheme("acme") == an_oidc_provider()
    assert await one[2].is_origin_allowed("https://app.example") is False
    assert raw.revisions.count_documents({}) == 3


def _stores(store, slug):
    stores = store.for_tenant(slug)
    return stores.clients, stores.resources, stores.cors_policy, stores.identity_providers
