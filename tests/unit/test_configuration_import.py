"""The import of a configuration document: what is read, what is refused, and that nothing is saved half."""

import json

import pytest

from mongostore import AlreadyExists, InvalidModel, MemoryStore, Revised
from mongostore.configuration_import import Imported, import_configuration
from mongostore.models import ApiScope, IdentityProvider, IdentityResource, OidcProvider, Secret

HASH = Secret.sha256("secret").value
DOCUMENT = {
    "Clients": [
        {
            "ClientId": "web",
            "ClientSecrets": [{"Value": HASH, "Type": "SharedSecret"}],
            "AllowedGrantTypes": ["authorization_code"],
            "RedirectUris": ["https://app.example/signin"],
            "AllowedScopes": ["openid", "orders.read"],
            "AllowedCorsOrigins": ["https://app.example"],
            "RefreshTokenUsage": "OneTimeOnly",
            "Claims": [{"Type": "plan", "Value": "gold"}],
        },
        {"ClientId": "job", "ClientSecrets": [{"Value": HASH}], "AllowedGrantTypes": ["client_credentials"]},
    ],
    "IdentityResources": [{"Name": "openid", "UserClaims": ["sub"]}],
    "ApiScopes": [{"Name": "orders.read"}],
    "ApiResources": [{"Name": "orders", "Scopes": ["orders.read"], "ApiSecrets": [{"Value": HASH}]}],
    "IdentityProviders": [
        {"Scheme": "corp", "Type": "oidc", "Authority": "https://corp.example", "ClientId": "us"},
        {"Scheme": "saml", "Type": "saml2", "Properties": {"Entity": "urn:x"}},
    ],
}


async def problems_of(document: object, store: MemoryStore | None = None) -> list[str]:
    with pytest.raises(InvalidModel) as caught:
        await import_configuration(store or MemoryStore(), document)
    return list(caught.value.problems)


async def is_empty(store: MemoryStore) -> bool:
    resources = await store.resources.get_all_resources()
    found = [resources.identity_resources, resources.api_scopes, resources.api_resources]
    found += [await store.identity_providers.get_all_scheme_names(), [c async for c in store.clients.get_all_clients()]]
    return not any(found)


@pytest.mark.parametrize("document", [DOCUMENT, json.dumps(DOCUMENT)], ids=["mapping", "text"])
async def test_everything_is_saved(document: object) -> None:
    """Items of every kind are found afterwards, and the summary names them, whether text or mapping is given."""
    store = MemoryStore()
    summary = await import_configuration(store, document)
    assert summary.clients == Imported(created=("web", "job"))
    assert summary.identity_resources == Imported(created=("openid",))
    assert summary.api_scopes == Imported(created=("orders.read",))
    assert summary.api_resources == Imported(created=("orders",))
    assert summary.identity_providers == Imported(created=("corp", "saml"))
    client = await store.clients.find_client_by_id("web")
    assert client is not None
    assert client.redirect_uris == {"https://app.example/signin"}
    assert client.refresh_token_usage.name == "OneTimeOnly"
    assert await store.cors_policy.is_origin_allowed("https://app.example")
    resources = await store.resources.find_resources_by_scope(["openid", "orders.read"])
    assert [each.name for each in resources.api_resources] == ["orders"]
    assert isinstance(await store.identity_providers.get_by_scheme("corp"), OidcProvider)
    assert type(await store.identity_providers.get_by_scheme("saml")) is IdentityProvider


async def test_a_second_import_replaces() -> None:
    """Importing again replaces what is there by what the document says now, and leaves the rest alone."""
    store = MemoryStore()
    await import_configuration(store, DOCUMENT)
    summary = await import_configuration(store, {"Clients": [{**DOCUMENT["Clients"][1], "ClientName": "Job"}]})
    assert summary.clients == Imported(replaced=("job",))
    assert summary.api_scopes == Imported()
    assert (await store.clients.find_client_by_id("job")).client_name == "Job"
    assert await store.clients.find_client_by_id("web") is not None


async def test_names_may_be_those_of_the_models() -> None:
    """A document in snake_case is read as well."""
    summary = await import_configuration(MemoryStore(), {"api_scopes": [{"name": "a", "user_claims": ["email"]}]})
    assert summary.api_scopes.created == ("a",)


async def test_an_empty_document_saves_nothing() -> None:
    """No list is needed."""
    store = MemoryStore()
    assert (await import_configuration(store, "{}")).clients == Imported()
    assert await is_empty(store)


async def test_every_problem_is_told_at_once_and_nothing_is_saved() -> None:
    """One bad item keeps all the others out, and every broken rule is named with the item that it is about."""
    document = {
        **DOCUMENT,
        "Clients": [
            DOCUMENT["Clients"][0],
            {"ClientId": "bad", "RedirectUri": ["x"], "AccessTokenLifetime": [], "Claims": [{"Type": "a"}]},
            {"ClientId": "none"},
            "text",
        ],
        "ApiResources": [{"Name": "", "ApiSecrets": [{"Value": "hunter2", "Description": "old"}]}],
        "IdentityProviders": [{"Scheme": "corp", "Authority": "https://corp.example"}],
    }
    store = MemoryStore()
    assert await problems_of(document, store) == [
        "ApiResources[0] '': name must not be empty",
        "ApiResources[0] '': api_secrets: a secret (old) is no hash: make it with Secret.sha256(…) or Secret.sha512(…)",
        "IdentityProviders[0] 'corp': properties must have ClientId for type oidc",
        "Clients[1] 'bad': access_token_lifetime: Input should be a valid integer",
        "Clients[1] 'bad': claims.0.value: Field required",
        "Clients[1] 'bad': there is no property 'RedirectUri'",
        "Clients[2] 'none': allowed_grant_types must name at least one grant type",
        "Clients[3] must be an object",
    ]
    assert await is_empty(store)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"Client": []}, "'Client' is none of its lists"),
        ({"Clients": {"ClientId": "web"}}, "Clients must be a list"),
        ("[]", "it must be a JSON object"),
        ('{"Clients": [}', "it is no JSON: Expecting value at line 1, column 14"),
        ("[" * 100_000, "it is no JSON that can be read"),
        ('{"Clients": [], "Clients": []}', "an object has 'Clients' twice"),
        ({"Clients": [DOCUMENT["Clients"][1]] * 2}, "Clients[1] 'job': Clients[0] 'job' has this name already"),
        (
            {"IdentityResources": [{"Name": "a", "UserClaims": ["b"]}], "ApiScopes": [{"Name": "a"}]},
            "ApiScopes[0] 'a': IdentityResources[0] 'a' has this name already",
        ),
    ],
)
async def test_a_document_of_another_form_is_refused(document: object, problem: str) -> None:
    """Misspelt lists, broken JSON and names given twice are problems, never silently left out."""
    (found,) = await problems_of(document)
    assert found.startswith(problem)


@pytest.mark.parametrize("document", [None, 1, [], b"{}"])
async def test_a_document_of_another_type_is_a_type_error(document: object) -> None:
    """Only a mapping or text can be a document."""
    with pytest.raises(TypeError, match="mapping or JSON text"):
        await import_configuration(MemoryStore(), document)


async def test_a_scope_name_of_the_other_stored_kind_is_a_problem() -> None:
    """What is stored counts, too: a name that the other kind has is told before anything is saved."""
    store = MemoryStore()
    await store.resources.save_api_scope(ApiScope(name="a"))
    await store.resources.save_identity_resource(IdentityResource(name="b", user_claims=["c"]))
    document = {
        "IdentityResources": [{"Name": "new", "UserClaims": ["c"]}, {"Name": "a", "UserClaims": ["c"]}],
        "ApiScopes": [{"Name": "b"}],
    }
    assert await problems_of(document, store) == [
        "IdentityResources[1] 'a': a stored API scope has this name",
        "ApiScopes[0] 'b': a stored identity resource has this name",
    ]
    assert await store.resources.find_identity_resources_by_scope_name(["new"]) == []


async def test_a_scope_that_is_taken_meanwhile_is_not_overwritten() -> None:
    """Between the check and the save, the store's own rule decides."""

    class Racing:
        def __init__(self, store: MemoryStore) -> None:
            self.clients, self.identity_providers, self.resources = store.clients, store.identity_providers, self
            self.save_identity_resource = store.resources.save_identity_resource
            self.save_api_resource = store.resources.save_api_resource
            self.save_api_scope = store.resources.save_api_scope
            self.read_api_scope = store.resources.read_api_scope
            self._resources = store.resources

        async def read_identity_resource(self, name: str) -> Revised[IdentityResource] | None:
            found = await self._resources.read_identity_resource(name)
            await self._resources.save_identity_resource(IdentityResource(name="a", user_claims=["c"]))
            return found

    store = MemoryStore()
    with pytest.raises(AlreadyExists):
        await import_configuration(Racing(store), {"ApiScopes": [{"Name": "a"}]})
    assert await store.resources.find_api_scopes_by_name(["a"]) == []


@pytest.mark.parametrize(
    "document",
    [
        '{"IdentityProviders": [{"Scheme": "a", "ClientSecret": "hunter2"}]',
        {"IdentityProviders": [{"Scheme": "a", "ClientSecret": ["hunter2"]}]},
        {"IdentityProviders": [{"Scheme": "a", "Properties": {"ClientSecret": "hunter2"}, "Secret": "hunter2"}]},
        {"Clients": [{"ClientId": "a", "ClientSecrets": [{"Value": "hunter2"}]}]},
        {"Clients": [{"ClientId": "a", "ClientSecrets": ["hunter2"]}]},
        {"Clients": [{"ClientId": "a", "PairWiseSubjectSalt": {"hunter2": "hunter2"}}]},
    ],
)
async def test_no_error_repeats_a_secret(document: object) -> None:
    """Whatever is wrong with what holds a secret, neither the message nor its causes show it."""
    with pytest.raises(InvalidModel) as caught:
        await import_configuration(MemoryStore(), document)
    assert "hunter2" not in str(caught.value) + repr(caught.value.__dict__)
    assert caught.value.__cause__ is None
