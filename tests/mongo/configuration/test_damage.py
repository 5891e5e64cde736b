"""Records that were changed from outside, or written by another version."""

import logging

import pytest
from bson import Binary

from mongostore.errors import PayloadUnreadable
from mongostore.models import ApiResource, ApiScope, IdentityProvider
from mongostore.protection.context import Context
from mongostore.testing.contracts.filled_models import (
    a_filled_api_resource,
    a_filled_client,
    an_identity_resource,
    an_oidc_provider,
)
from mongostore.testing.factories import a_client

HASH = "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"$set": {"access_token_lifetime": "an hour"}}, "access_token_lifetime"),
        ({"$set": {"enabled": "perhaps"}}, "enabled"),
        ({"$unset": {"enabled": 1}}, "enabled"),
        ({"$unset": {"client_secrets": 1}}, "client_secrets"),
        ({"$set": {"client_secrets": [{"type": "SharedSecret", "value": [HASH]}]}}, "client_secrets"),
        ({"$set": {"client_secrets": [HASH]}}, "client_secrets"),
        ({"$set": {"client_secrets": {"type": "SharedSecret", "value": HASH}}}, "client_secrets"),
        ({"$set": {"properties": {"a": "1"}}}, "properties"),
        ({"$set": {"properties": [{"name": "a"}]}}, "properties"),
        ({"$set": {"properties": [{"name": ["a"], "value": HASH}]}}, "properties"),
        ({"$set": {"properties": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}}, "properties"),
        ({"$set": {"redirect_uris": None}}, "redirect_uris"),
        ({"$set": {"dpop_clock_skew": "soon"}}, "dpop_clock_skew"),
        ({"$set": {"refresh_token_usage": 7}}, "refresh_token_usage"),
    ],
    ids=str,
)
async def test_a_damaged_client_is_told_by_its_field(store, raw, change, field):
    """The error names the collection, the client and the field, and none of what the fields hold."""
    await store.clients.save_client(a_client())
    raw.clients.update_one({}, change)
    with pytest.raises(PayloadUnreadable, match=field) as damage:
        await store.clients.find_client_by_id("web")
    assert damage.value.collection == "clients"
    assert "client 'web'" in str(damage.value)
    assert HASH not in str(damage.value)
    assert damage.value.__cause__ is None


async def test_saving_anew_repairs_a_damaged_client(store, raw):
    """As the error says."""
    await store.clients.save_client(a_client())
    raw.clients.update_one({}, {"$unset": {"enabled": 1}})
    await store.clients.save_client(a_client())
    assert (await store.clients.find_client_by_id("web")).model_dump() == a_client().model_dump()


async def test_a_client_without_revision_has_none_to_give(store, raw):
    """A revision that is missing is damage, not absence."""
    await store.clients.save_client(a_client())
    raw.clients.update_one({}, {"$unset": {"revision": 1}})
    with pytest.raises(PayloadUnreadable, match="revision"):
        await store.clients.get_client_revision("web")


async def test_what_a_newer_version_wrote_is_read(store, raw):
    """Unknown fields are ignored, in embedded records too; the revision goes on."""
    client = a_filled_client()
    await store.clients.save_client(client)
    raw.clients.update_one(
        {}, {"$set": {"new": 1, "client_secrets.0.new": 2, "claims.0.new": 3, "properties.0.new": 4, "ClientName": "x"}}
    )
    assert (await store.clients.find_client_by_id("web")).model_dump() == client.model_dump()
    await store.resources.save_api_resource(a_filled_api_resource("a"))
    raw.api_resources.update_one({}, {"$set": {"new": 1, "api_secrets.0.new": 2}})
    (resource,) = await store.resources.find_api_resources_by_name(["a"])
    assert resource.model_dump() == a_filled_api_resource("a").model_dump()


async def test_numbers_that_a_shell_wrote_are_read(store, raw):
    """The MongoDB shell writes every number as a double."""
    await store.clients.save_client(a_client())
    raw.clients.update_one({}, {"$set": {"access_token_lifetime": 60.0, "access_token_type": 1.0}})
    found = await store.clients.find_client_by_id("web")
    assert (found.access_token_lifetime, found.access_token_type) == (60, 1)


async def test_a_list_of_clients_leaves_the_damaged_ones_out(store, raw, caplog):
    """Readable clients come, the others are logged; when there are only others, that is an error."""
    for client_id in ("a", "b", "c"):
        await store.clients.save_client(a_client(client_id))
    raw.clients.update_one({"client_id": "b"}, {"$unset": {"enabled": 1}})
    with caplog.at_level(logging.ERROR, logger="mongostore"):
        assert [client.client_id async for client in store.clients.get_all_clients()] == ["a", "c"]
    assert "client 'b'" in caplog.text
    raw.clients.update_many({}, {"$unset": {"enabled": 1}})
    with pytest.raises(PayloadUnreadable):
        [client async for client in store.clients.get_all_clients()]


async def test_lists_of_resources_leave_the_damaged_ones_out(store, raw, caplog):
    """Readable resources come, the others are logged; when there are only others, that is an error."""
    for name in ("a", "b"):
        await store.resources.save_api_resource(ApiResource(name=name, scopes={"read"}))
    raw.api_resources.update_one({"name": "a"}, {"$set": {"scopes": "read", "secret": HASH}})
    with caplog.at_level(logging.ERROR, logger="mongostore"):
        found = await store.resources.find_resources_by_scope(["read"])
    assert [each.name for each in found.api_resources] == ["b"]
    assert "API resource 'a'" in caplog.text
    assert "scopes" in caplog.text
    assert HASH not in caplog.text
    raw.api_resources.update_one({"name": "b"}, {"$unset": {"enabled": 1}})
    with pytest.raises(PayloadUnreadable) as damage:
        await store.resources.get_all_resources()
    assert damage.value.collection == "api_resources"


async def test_a_damaged_kind_does_not_pass_for_an_empty_one(store, raw):
    """When every scope of a kind that was found is damaged, the request fails rather than lose them."""
    await store.resources.save_identity_resource(an_identity_resource("profile"))
    await store.resources.save_api_scope(ApiScope(name="read"))
    raw.scopes.update_one({"name": "read"}, {"$unset": {"required": 1}})
    with pytest.raises(PayloadUnreadable, match="API scope 'read'") as damage:
        await store.resources.find_resources_by_scope(["profile", "read"])
    assert damage.value.collection == "scopes"


@pytest.mark.parametrize(
    "change",
    [
        {"$unset": {"payload": 1}},
        {"$set": {"payload": None}},
        {"$set": {"payload": "hunter2"}},
        {"$set": {"payload": b"hunter2"}},
        {"$unset": {"type": 1}},
        {"$set": {"enabled": "perhaps"}},
    ],
    ids=str,
)
async def test_a_damaged_provider_is_refused(store, raw, change):
    """A provider whose properties are not sealed, or whose fields are damaged, is not read."""
    await store.identity_providers.save_identity_provider(an_oidc_provider())
    raw.command("collMod", "identity_providers", validationLevel="off")
    raw.identity_providers.update_one({}, change)
    with pytest.raises(PayloadUnreadable) as damage:
        await store.identity_providers.get_by_scheme("acme")
    assert damage.value.collection == "identity_providers"
    assert "hunter2" not in str(damage.value)


async def test_a_providers_payload_opens_in_its_own_record_only(store, raw):
    """Copied to another scheme, sealed properties are unreadable there."""
    await store.identity_providers.save_identity_provider(an_oidc_provider("a"))
    await store.identity_providers.save_identity_provider(an_oidc_provider("b"))
    raw.identity_providers.update_one(
        {"scheme": "b"}, {"$set": {"payload": raw.identity_providers.find_one({"scheme": "a"})["payload"]}}
    )
    assert await store.identity_providers.get_by_scheme("a") == an_oidc_provider("a")
    with pytest.raises(PayloadUnreadable):
        await store.identity_providers.get_by_scheme("b")


async def test_a_list_of_schemes_leaves_the_damaged_ones_out(store, raw, caplog):
    """Unreadable ones are logged; a name is believed only together with the sealed properties."""
    for scheme in ("a", "b", "c"):
        await store.identity_providers.save_identity_provider(IdentityProvider(type="custom", scheme=scheme))
    raw.command("collMod", "identity_providers", validationLevel="off")
    raw.identity_providers.update_one({"scheme": "a"}, {"$unset": {"payload": 1}})
    raw.identity_providers.update_one({"scheme": "c"}, {"$set": {"display_name": "Your bank"}})
    with caplog.at_level(logging.ERROR, logger="mongostore"):
        assert [name.scheme for name in await store.identity_providers.get_all_scheme_names()] == ["b"]
    assert "2 of 3 records can't be read" in caplog.text
    raw.identity_providers.delete_one({"scheme": "b"})
    with pytest.raises(PayloadUnreadable):
        await store.identity_providers.get_all_scheme_names()


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"enabled": False}},
        {"$set": {"display_name": "Your bank"}},
        {"$unset": {"display_name": 1}},
        {"$set": {"type": "custom"}},
        {"$set": {"scheme": "other"}},
    ],
    ids=str,
)
async def test_what_stands_beside_a_providers_properties_is_bound_to_them(store, raw, change):
    """A writer without keys can neither enable, rename nor retype a provider; what it was before is read again."""
    await store.identity_providers.save_identity_provider(an_oidc_provider(display_name="Acme"))
    before = raw.identity_providers.find_one()
    raw.identity_providers.update_one({}, change)
    for read in (store.identity_providers.get_by_scheme, store.identity_providers.read_identity_provider):
        with pytest.raises(PayloadUnreadable, match="changed from outside"):
            await read("acme")
    with pytest.raises(PayloadUnreadable):
        await store.identity_providers.get_all_scheme_names()
    raw.identity_providers.replace_one({}, before)
    assert await store.identity_providers.get_by_scheme("acme") == an_oidc_provider(display_name="Acme")


async def test_a_payload_of_another_form_is_refused(store, raw):
    """What opens and is no JSON object of texts is no set of properties."""
    await store.identity_providers.save_identity_provider(an_oidc_provider())
    context = Context("default", "identity_providers", "acme", "payload")
    for plaintext in (b"", b"hunter2", b"[]", b'{"ClientSecret": 1}', b"\xff"):
        sealed = await store._backends._protector.seal(plaintext, context)
        raw.identity_providers.update_one({}, {"$set": {"payload": Binary(sealed)}})
        with pytest.raises(PayloadUnreadable, match="properties") as damage:
            await store.identity_providers.get_by_scheme("acme")
        assert "hunter2" not in str(damage.value)
