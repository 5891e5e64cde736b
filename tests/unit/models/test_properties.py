"""Each model has the reference's properties, names and defaults: no more, no less."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from mongostore import models
from mongostore.models import (
    AccessTokenType,
    DPoPTokenExpirationValidationMode,
    Principal,
    ProofType,
    Secret,
    TokenExpiration,
    TokenUsage,
)
from mongostore.models.base import from_payload

NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)
REQUIRED: Any = object()
XSD_STRING = "http://www.w3.org/2001/XMLSchema#string"
SET: frozenset[str] = frozenset()
ALICE = {"Claims": [{"Type": "sub", "Value": "alice"}]}
INSTANT = "2024-01-31T12:00:00Z"
RESOURCE = {
    "Enabled": (bool, True), "Name": (str, REQUIRED), "DisplayName": (str, None), "Description": (str, None),
    "ShowInDiscoveryDocument": (bool, True), "UserClaims": (frozenset, SET), "Properties": (dict, {}),
}  # fmt: skip
SCOPE = {**RESOURCE, "Required": (bool, False), "Emphasize": (bool, False)}
PROVIDER = {
    "Type": (str, REQUIRED), "Scheme": (str, REQUIRED), "DisplayName": (str, None), "Enabled": (bool, True),
    "Properties": (dict, {}),
}  # fmt: skip

# property: (type, default); what the reference's model has, written out.
TABLE: dict[str, dict[str, tuple[type, Any]]] = {
    "Client": {
        "Enabled": (bool, True), "ClientId": (str, REQUIRED), "ProtocolType": (str, "oidc"),
        "ClientSecrets": (frozenset, SET), "RequireClientSecret": (bool, True), "ClientName": (str, None),
        "Description": (str, None), "ClientUri": (str, None), "LogoUri": (str, None), "RequireConsent": (bool, False),
        "AllowRememberConsent": (bool, True), "AllowedGrantTypes": (frozenset, SET), "RequirePkce": (bool, True),
        "AllowPlainTextPkce": (bool, False), "RequireRequestObject": (bool, False),
        "AllowAccessTokensViaBrowser": (bool, False), "RequireDPoP": (bool, False),
        "DPoPValidationMode": (DPoPTokenExpirationValidationMode, DPoPTokenExpirationValidationMode.Iat),
        "DPoPClockSkew": (timedelta, timedelta(minutes=5)), "RedirectUris": (frozenset, SET),
        "PostLogoutRedirectUris": (frozenset, SET), "FrontChannelLogoutUri": (str, None),
        "FrontChannelLogoutSessionRequired": (bool, True), "BackChannelLogoutUri": (str, None),
        "BackChannelLogoutSessionRequired": (bool, True), "AllowOfflineAccess": (bool, False),
        "AllowedScopes": (frozenset, SET), "AlwaysIncludeUserClaimsInIdToken": (bool, False),
        "IdentityTokenLifetime": (int, 300), "AllowedIdentityTokenSigningAlgorithms": (frozenset, SET),
        "AccessTokenLifetime": (int, 3600), "AuthorizationCodeLifetime": (int, 300),
        "AbsoluteRefreshTokenLifetime": (int, 2592000), "SlidingRefreshTokenLifetime": (int, 1296000),
        "ConsentLifetime": (int, None), "PushedAuthorizationLifetime": (int, None),
        "RequirePushedAuthorization": (bool, False), "RefreshTokenUsage": (TokenUsage, TokenUsage.ReUse),
        "UpdateAccessTokenClaimsOnRefresh": (bool, False),
        "RefreshTokenExpiration": (TokenExpiration, TokenExpiration.Absolute),
        "AccessTokenType": (AccessTokenType, AccessTokenType.Jwt), "EnableLocalLogin": (bool, True),
        "IdentityProviderRestrictions": (frozenset, SET), "IncludeJwtId": (bool, True), "Claims": (frozenset, SET),
        "AlwaysSendClientClaims": (bool, False), "ClientClaimsPrefix": (str, "client_"),
        "PairWiseSubjectSalt": (str, None), "UserSsoLifetime": (int, None), "UserCodeType": (str, None),
        "DeviceCodeLifetime": (int, 300), "CibaLifetime": (int, None), "PollingInterval": (int, None),
        "CoordinateLifetimeWithUserSession": (bool, None), "AllowedCorsOrigins": (frozenset, SET),
        "InitiateLoginUri": (str, None), "Properties": (dict, {}),
    },
    "Secret": {
        "Description": (str, None), "Value": (str, REQUIRED), "Expiration": (datetime, None),
        "Type": (str, "SharedSecret"),
    },
    "ClientClaim": {"Type": (str, REQUIRED), "Value": (str, REQUIRED), "ValueType": (str, XSD_STRING)},
    "IdentityResource": SCOPE,
    "ApiScope": SCOPE,
    "ApiResource": {
        **RESOURCE, "RequireResourceIndicator": (bool, False), "ApiSecrets": (frozenset, SET),
        "Scopes": (frozenset, SET), "AllowedAccessTokenSigningAlgorithms": (frozenset, SET),
    },
    "Resources": {
        "IdentityResources": (list, []), "ApiResources": (list, []), "ApiScopes": (list, []),
        "OfflineAccess": (bool, False),
    },
    "IdentityProvider": PROVIDER,
    "OidcProvider": {**PROVIDER, "Type": (str, "oidc")},
    "IdentityProviderName": {"Scheme": (str, REQUIRED), "DisplayName": (str, None), "Enabled": (bool, True)},
    "PersistedGrant": {
        "Key": (str, REQUIRED), "Type": (str, REQUIRED), "SubjectId": (str, None), "SessionId": (str, None),
        "ClientId": (str, REQUIRED), "Description": (str, None), "CreationTime": (datetime, REQUIRED),
        "Expiration": (datetime, None), "ConsumedTime": (datetime, None), "Data": (str, REQUIRED),
    },
    "PersistedGrantFilter": {
        "SubjectId": (str, None), "SessionId": (str, None), "ClientId": (str, None), "ClientIds": (list, None),
        "Type": (str, None), "Types": (list, None),
    },
    "AuthorizationCode": {
        "CreationTime": (datetime, REQUIRED), "Lifetime": (int, REQUIRED), "ClientId": (str, REQUIRED),
        "Subject": (Principal, REQUIRED), "IsOpenId": (bool, False), "RequestedScopes": (list, []),
        "RequestedResourceIndicators": (list, None), "RedirectUri": (str, None), "Nonce": (str, None),
        "StateHash": (str, None), "WasConsentShown": (bool, False), "SessionId": (str, None),
        "CodeChallenge": (str, None), "CodeChallengeMethod": (str, None), "DPoPKeyThumbprint": (str, None),
        "Description": (str, None), "Properties": (dict, {}),
    },
    "RefreshToken": {  # The reference's obsolete AccessToken is read, not kept.
        "CreationTime": (datetime, REQUIRED), "Lifetime": (int, REQUIRED), "ConsumedTime": (datetime, None),
        "AccessTokens": (dict, {}), "Subject": (Principal, REQUIRED), "Version": (int, 5), "ClientId": (str, REQUIRED),
        "SessionId": (str, None), "Description": (str, None), "AuthorizedScopes": (list, []),
        "AuthorizedResourceIndicators": (list, None), "ProofType": (ProofType, None),
        "Properties": (dict, {}),
    },
    "Token": {
        "AllowedSigningAlgorithms": (frozenset, SET), "Confirmation": (str, None), "Audiences": (list, []),
        "Issuer": (str, None), "CreationTime": (datetime, REQUIRED), "Lifetime": (int, REQUIRED),
        "Type": (str, "access_token"), "ClientId": (str, REQUIRED),
        "AccessTokenType": (AccessTokenType, AccessTokenType.Jwt), "Description": (str, None),
        "IncludeJwtId": (bool, False), "Claims": (list, []), "Version": (int, 5),
        "Properties": (dict, {}),
    },
    "Consent": {
        "SubjectId": (str, REQUIRED), "ClientId": (str, REQUIRED), "Scopes": (list, None),
        "CreationTime": (datetime, REQUIRED), "Expiration": (datetime, None), "Properties": (dict, {}),
    },
    "Grant": {
        "SubjectId": (str, REQUIRED), "ClientId": (str, REQUIRED), "Description": (str, None), "Scopes": (list, []),
        "CreationTime": (datetime, REQUIRED), "Expiration": (datetime, None),
    },
    "DeviceCode": {
        "CreationTime": (datetime, REQUIRED), "Lifetime": (int, REQUIRED), "ClientId": (str, REQUIRED),
        "Description": (str, None), "IsOpenId": (bool, False), "IsAuthorized": (bool, False),
        "RequestedScopes": (list, []), "AuthorizedScopes": (list, None), "Subject": (Principal, None),
        "SessionId": (str, None), "Properties": (dict, {}),
    },
    "BackChannelAuthenticationRequest": {
        "InternalId": (str, None), "CreationTime": (datetime, REQUIRED), "Lifetime": (int, REQUIRED),
        "ClientId": (str, REQUIRED), "Subject": (Principal, REQUIRED), "RequestedScopes": (list, []),
        "RequestedResourceIndicators": (list, None), "AuthenticationContextReferenceClasses": (list, None),
        "Tenant": (str, None), "IdP": (str, None), "BindingMessage": (str, None), "IsComplete": (bool, False),
        "AuthorizedScopes": (list, None), "SessionId": (str, None), "Description": (str, None),
        "Properties": (dict, {}),
    },
    "PushedAuthorizationRequest": {
        "ReferenceValueHash": (str, REQUIRED), "ExpiresAtUtc": (datetime, REQUIRED), "Parameters": (dict, REQUIRED),
        "ClientId": (str, None), "SubjectId": (str, None), "SessionId": (str, None),
    },
    "SerializedKey": {
        "Version": (int, 1), "Id": (str, REQUIRED), "Created": (datetime, REQUIRED), "Algorithm": (str, REQUIRED),
        "IsX509Certificate": (bool, False), "Data": (str, REQUIRED), "DataProtected": (bool, False),
    },
    "ServerSideSession": {
        "Key": (str, REQUIRED), "Scheme": (str, REQUIRED), "SubjectId": (str, REQUIRED), "SessionId": (str, REQUIRED),
        "DisplayName": (str, None), "Created": (datetime, REQUIRED), "Renewed": (datetime, REQUIRED),
        "Expires": (datetime, None), "Ticket": (str, REQUIRED),
    },
    "AuthenticationTicket": {  # The reference's has other names; in its properties lie Issuer and ClientIds.
        "Scheme": (str, REQUIRED), "Principal": (Principal, REQUIRED), "Issued": (datetime, None),
        "Expires": (datetime, None), "Issuer": (str, None), "ClientIds": (list, []), "Items": (dict, {}),
    },
    "SessionFilter": {"SubjectId": (str, None), "SessionId": (str, None)},
    "SessionQuery": {  # Match is ours.
        "ResultsToken": (str, None), "RequestPriorResults": (bool, False), "CountRequested": (int, 25),
        "SubjectId": (str, None), "SessionId": (str, None), "DisplayName": (str, None), "Match": (str, "prefix"),
    },
    "QueryResult": {
        "ResultsToken": (str, None), "HasPrevResults": (bool, False), "HasNextResults": (bool, False),
        "TotalCount": (int, None), "TotalPages": (int, None), "CurrentPage": (int, None), "Results": (list, []),
    },
    "UserSession": {
        "SubjectId": (str, REQUIRED), "SessionId": (str, REQUIRED), "DisplayName": (str, None),
        "Created": (datetime, REQUIRED), "Renewed": (datetime, REQUIRED), "Expires": (datetime, None),
        "Issuer": (str, None), "ClientIds": (list, []), "AuthenticationTicket": (str, REQUIRED),
    },
    "RemoveSessionsContext": {
        "SubjectId": (str, None), "SessionId": (str, None), "ClientIds": (list, None),
        "RemoveServerSideSession": (bool, True), "SendBackchannelLogoutNotification": (bool, True),
        "RevokeTokens": (bool, True), "RevokeConsents": (bool, True),
    },
    "Principal": {"Claims": (list, []), "AuthenticationType": (str, None)},
    "Claim": {
        "Type": (str, REQUIRED), "Value": (str, REQUIRED), "ValueType": (str, XSD_STRING), "Issuer": (str, None),
    },
}  # fmt: skip
SNAKE = {
    "RequireDPoP": "require_dpop", "DPoPValidationMode": "dpop_validation_mode", "DPoPClockSkew": "dpop_clock_skew",
    "DPoPKeyThumbprint": "dpop_key_thumbprint", "IdP": "idp", "IsX509Certificate": "is_x509_certificate",
    "ExpiresAtUtc": "expires_at_utc",
}  # fmt: skip
# A filter must name something.
ALSO_GIVEN = {"PersistedGrantFilter": "Type", "SessionFilter": "SubjectId", "RemoveSessionsContext": "SubjectId"}
JSON_SAMPLES = {str: "oidc", bool: True, int: 7, datetime: INSTANT, timedelta: "1.02:03:04", Principal: ALICE}


def snake(name: str) -> str:
    if name in SNAKE:
        return SNAKE[name]
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def sample(model: str, name: str, kind: type) -> Any:
    """A JSON value for a property."""
    special = {
        ("Resources", "IdentityResources"): [{"Name": "openid", "UserClaims": ["sub"]}],
        ("Resources", "ApiResources"): [{"Name": "api", "Scopes": ["a", "b"]}],
        ("Resources", "ApiScopes"): [{"Name": "a"}],
        ("PushedAuthorizationRequest", "Parameters"): {"scope": ["openid"]},
        ("RefreshToken", "AccessTokens"): {"": {"CreationTime": INSTANT, "Lifetime": 1, "ClientId": "c"}},
        ("SessionQuery", "Match"): "substring",
    }
    if (model, name) in special:
        return special[model, name]
    if name == "Claims":
        return [{"Type": "sub", "Value": "alice"}]
    if name in {"ClientSecrets", "ApiSecrets"}:
        return [{"Value": "x", "Type": "JWK", "Expiration": INSTANT}]
    if kind in {frozenset, list}:
        return ["a", "b"]
    if kind is dict:
        return {"k": "v"}
    return JSON_SAMPLES.get(kind, 1)


def required(model: str) -> dict[str, Any]:
    given = {name: sample(model, name, kind) for name, (kind, default) in TABLE[model].items() if default is REQUIRED}
    if model in ALSO_GIVEN:
        given[ALSO_GIVEN[model]] = "x"
    return given


def test_every_model_is_in_the_table() -> None:
    """The table covers what `mongostore.models` offers; a message is checked apart, since it knows the time."""
    offered = {
        name
        for name in models.__all__
        if isinstance(getattr(models, name), type) and issubclass(getattr(models, name), BaseModel)
    }
    assert offered == {*TABLE, "Message"}


@pytest.mark.parametrize("model", TABLE)
def test_properties_are_the_references(model: str) -> None:
    """No property is missing and none is added, under the snake_case of the reference's name."""
    fields = getattr(models, model).model_fields
    assert set(fields) == {snake(name) for name in TABLE[model]}
    assert {snake(name): name for name in TABLE[model]} == {
        name: field.serialization_alias for name, field in fields.items()
    }


@pytest.mark.parametrize("model", TABLE)
def test_defaults_are_the_reference_models(model: str) -> None:
    """What is not given has the default of the reference's model; what has none must be given."""
    made = getattr(models, model).model_validate(required(model))
    for name, (_, default) in TABLE[model].items():
        assert getattr(models, model).model_fields[snake(name)].is_required() == (default is REQUIRED), name
        if default is not REQUIRED and ALSO_GIVEN.get(model) != name:
            assert getattr(made, snake(name)) == default, name
            assert type(getattr(made, snake(name))) is type(default), name


@pytest.mark.parametrize("model", TABLE)
def test_reference_json_survives_a_round_trip(model: str) -> None:
    """PascalCase JSON with every property set is read into the right types, and written as it was."""
    model_type = getattr(models, model)
    given = {name: sample(model, name, kind) for name, (kind, _) in TABLE[model].items()}
    made = model_type.model_validate(given)
    for name, (kind, _) in TABLE[model].items():
        assert isinstance(getattr(made, snake(name)), kind), name
    assert model_type.model_validate_json(made.model_dump_json(by_alias=True)) == made
    assert model_type.model_validate_json(made.model_dump_json()) == made
    assert model_type.model_validate(made.model_dump()) == made
    assert model_type.model_validate({snake(name): value for name, value in given.items()}) == made
    written = made.model_dump(by_alias=True, mode="json")
    assert set(written) == set(given) - ({"ValueType", "Issuer"} if given.get("ValueType") == XSD_STRING else set())
    for name, (kind, _) in TABLE[model].items():
        if kind in {str, bool, int, datetime, timedelta} and name in written:
            assert written[name] == given[name], name


@pytest.mark.parametrize("model", [*TABLE, "Message"])
def test_no_field_has_an_alias(model: str) -> None:
    """Stored documents made from a model use its snake_case names: Beanie stores under `alias` where one is set."""
    assert all(field.alias is None for field in getattr(models, model).model_fields.values())


@pytest.mark.parametrize("model", TABLE)
def test_models_are_frozen(model: str) -> None:
    """A model can't be changed; a subclass may say otherwise, as stored documents must."""
    model_type = getattr(models, model)
    made = model_type.model_validate(required(model))
    name = next(iter(model_type.model_fields))
    with pytest.raises(ValueError, match="frozen"):
        setattr(made, name, getattr(made, name))
    thawed = type("Thawed", (model_type,), {"model_config": {"frozen": False}, "__module__": __name__})
    other = thawed.model_validate(required(model))
    setattr(other, name, getattr(other, name))


@pytest.mark.parametrize("model", TABLE)
def test_unknown_properties_are_refused_by_name(model: str) -> None:
    """A misspelt property must not vanish, and camelCase is none of the two spellings."""
    for unknown in ("Enabledd", "clientUri"):
        with pytest.raises(ValueError, match=unknown):
            getattr(models, model).model_validate({**required(model), unknown: "x"})
        with pytest.raises(ValueError, match=unknown):
            getattr(models, model)(**required(model), **{unknown: "x"})


def test_a_misspelt_name_is_told_with_the_nearest_known_one() -> None:
    """A code without its scopes, or without PKCE, would be the harm."""
    for misspelt, meant in (("requested_scope", "requested_scopes"), ("code_chalenge", "code_challenge")):
        with pytest.raises(ValueError, match=rf"{misspelt}\n.*did you mean '{meant}'\?"):
            models.AuthorizationCode(**required("AuthorizationCode"), **{misspelt: "x"})


@pytest.mark.parametrize("model", TABLE)
def test_payloads_ignore_what_a_newer_version_added(model: str) -> None:
    """A node of an older version reads what a newer one wrote."""
    made = getattr(models, model).model_validate(required(model))
    newer = {**json.loads(made.model_dump_json(by_alias=True)), "AddedLater": 1}
    assert from_payload(getattr(models, model), json.dumps(newer)) == made


def test_enums_have_the_references_numbers_and_read_names() -> None:
    """Members and numbers are the reference's; configuration files spell the names."""
    assert {member.name: member.value for member in TokenUsage} == {"ReUse": 0, "OneTimeOnly": 1}
    assert {member.name: member.value for member in TokenExpiration} == {"Sliding": 0, "Absolute": 1}
    assert {member.name: member.value for member in AccessTokenType} == {"Jwt": 0, "Reference": 1}
    assert {member.name: member.value for member in ProofType} == {"None_": 0, "ClientCertificate": 1, "DPoP": 2}
    assert ProofType("None") is ProofType.None_
    mode = DPoPTokenExpirationValidationMode
    assert (mode.Custom, mode.Iat, mode.Nonce, mode.IatAndNonce) == (0, 1, 2, 3)
    assert mode.Iat | mode.Nonce == mode.IatAndNonce
    client = models.Client.model_validate(
        {"ClientId": "c", "DPoPValidationMode": "Nonce", "RefreshTokenUsage": "OneTimeOnly"}
    )
    assert client.dpop_validation_mode is mode.Nonce
    assert client.refresh_token_usage is TokenUsage.OneTimeOnly
    for wrong in (4, "Never"):
        with pytest.raises(ValueError, match="dpop_validation_mode"):
            models.Client.model_validate({"ClientId": "c", "DPoPValidationMode": wrong})


def test_sets_are_equal_to_pythons_and_written_in_order() -> None:
    """A set property takes any collection, equals a set, and gives the same JSON whatever the order it was given in."""
    secrets = [Secret(value=value) for value in "cab"]
    one = models.Client(client_id="c", allowed_scopes=["b", "a"], client_secrets=secrets)
    two = models.Client(client_id="c", allowed_scopes={"a", "b"}, client_secrets=secrets[::-1])
    assert one == two
    assert one.allowed_scopes == {"a", "b"}
    assert one.model_dump_json() == two.model_dump_json()
    assert one.model_dump()["allowed_scopes"] == ["a", "b"]
    with pytest.raises(ValueError, match="allowed_scopes"):
        models.Client(client_id="c", allowed_scopes="openid")
