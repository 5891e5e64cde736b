"""The rules for resources and identity providers, and how a provider keeps its settings."""

from typing import Any

import pytest

from mongostore.models import ApiResource, ApiScope, IdentityProvider, IdentityResource, OidcProvider, Secret
from mongostore.models.configuration_validation import identity_provider_problems, resource_problems

OIDC = {"scheme": "x", "authority": "https://idp.example", "client_id": "us"}


def test_valid_resources_have_no_problem() -> None:
    """What the reference accepts is accepted."""
    assert resource_problems(IdentityResource(name="openid", user_claims=["sub"])) == []
    assert resource_problems(ApiScope(name="api|read", properties={"": "x"})) == []
    assert resource_problems(ApiResource(name="api", scopes=["a"], api_secrets=[Secret.sha256("x")])) == []


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        (IdentityResource(name="openid"), "user_claims must name at least one claim"),
        (ApiScope(name=""), "name must not be empty"),
        (ApiScope(name="  "), "name must not be blank"),
        (ApiScope(name="a\0"), "name must not contain a NUL"),
        (ApiScope(name="a", user_claims=[""]), "user_claims has '', which must not be empty"),
        (ApiScope(name="a", properties={"a\0": "x"}), "properties has the name 'a\\x00'"),
        (ApiResource(name="a", scopes=["x" * 1001]), "scopes has 'xxx"),
        (ApiResource(name="a", api_secrets=[Secret(value="hunter2")]), "Secret.sha256"),
        (ApiScope(name="a").model_copy(update={"enabled": "maybe"}), "enabled: "),
    ],
)
def test_each_resource_rule_is_told(resource: Any, told: str) -> None:
    """One broken rule is one sentence."""
    (found,) = resource_problems(resource)
    assert told in found
    assert "hunter2" not in found
    assert len(found) < 250


def test_settings_of_a_provider_lie_in_its_properties() -> None:
    """Given by name or in the reference's JSON, flat or nested, they are the same provider."""
    provider = OidcProvider(**OIDC, client_secret="s", use_pkce=False)
    expected = {"Authority": "https://idp.example", "ClientId": "us", "ClientSecret": "s", "UsePkce": "false"}
    assert provider.properties == expected
    assert provider == OidcProvider(scheme="x", properties=expected)
    assert provider == OidcProvider.model_validate({"Type": "oidc", "Scheme": "x", **expected})
    assert provider == OidcProvider.model_validate({"Type": "oidc", "Scheme": "x", "Properties": expected})
    assert provider == OidcProvider.model_validate_json(provider.model_dump_json(by_alias=True))
    assert (provider.authority, provider.client_id, provider.client_secret) == ("https://idp.example", "us", "s")
    assert not provider.use_pkce


def test_absent_settings_have_the_references_defaults() -> None:
    """Nothing is stored for them."""
    provider = OidcProvider(scheme="x")
    assert provider.properties == {}
    assert (provider.authority, provider.client_id, provider.client_secret) == (None, None, None)
    assert (provider.response_type, provider.scope, provider.scopes) == ("id_token", "openid", ["openid"])
    assert provider.use_pkce
    assert provider.get_claims_from_user_info_endpoint
    other = OidcProvider(scheme="x", scope="openid  profile", get_claims_from_user_info_endpoint=False)
    assert other.scopes == ["openid", "profile"]
    assert not other.get_claims_from_user_info_endpoint


def test_scopes_are_read_where_the_reference_writes_them() -> None:
    """Its JSON has the derived list too; one that says something else, or stands alone, does not vanish."""
    written = {"Scheme": "x", "Scope": "openid  profile", "Scopes": ["openid", "profile"], "Properties": {}}
    assert OidcProvider.model_validate(written).properties == {"Scope": "openid  profile"}
    assert OidcProvider.model_validate({"Scheme": "x", "Scopes": ["openid"]}).properties == {}
    for wrong in ({"Scopes": ["openid", "email"]}, {"Scope": "openid", "Scopes": []}, {"Scopes": "openid"}):
        with pytest.raises(ValueError, match="Scopes is derived from Scope"):
            OidcProvider.model_validate({"Scheme": "x", **wrong})
    with pytest.raises(ValueError, match="scopes"):
        OidcProvider(scheme="x", scopes=["openid"])  # type: ignore[call-arg]


def test_a_typed_provider_is_made_only_from_its_type() -> None:
    """What is no OpenID Connect provider is not read as one."""
    base = IdentityProvider(type="oidc", scheme="x", display_name="X", enabled=False, properties={"Authority": "a"})
    typed = OidcProvider.from_identity_provider(base)
    assert typed.model_dump() == base.model_dump()
    typed.properties["Authority"] = "b"
    assert base.properties == {"Authority": "a"}
    with pytest.raises(ValueError, match="'saml', not 'oidc'"):
        OidcProvider.from_identity_provider(IdentityProvider(type="saml", scheme="x"))
    with pytest.raises(ValueError, match="type"):
        OidcProvider(type="saml", scheme="x")  # type: ignore[arg-type]
    for wrong in ("x", ["x"], 7):
        with pytest.raises(ValueError, match="properties"):
            OidcProvider(scheme="x", authority="a", properties=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        (IdentityProvider(type="", scheme="x"), ["type must not be empty"]),
        (IdentityProvider(type="custom", scheme=" "), ["scheme must not be blank"]),
        (OidcProvider(**{**OIDC, "authority": " "}), ["properties must have Authority"]),
        (OidcProvider(**OIDC, scope="", response_type=""), ["ResponseType", "Scope"]),
        (IdentityProvider(type="oidc", scheme="x"), ["Authority", "ClientId"]),
        (IdentityProvider(type="custom", scheme="x", properties={"a\0": "hunter2"}), ["properties has the name"]),
        (IdentityProvider(type="custom", scheme="x").model_copy(update={"properties": {"a": 7}}), ["properties: "]),
        (IdentityProvider(type="custom", scheme="x", properties={"any": "thing"}), []),
        (OidcProvider(**OIDC), []),
    ],
)
def test_provider_rules_are_told(provider: IdentityProvider, told: list[str]) -> None:
    """Every broken rule is told, and no value of a property."""
    found = identity_provider_problems(provider)
    assert len(found) == len(told)
    for expected, problem in zip(told, found, strict=True):
        assert expected in problem
        assert "hunter2" not in problem
