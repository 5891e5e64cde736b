"""The rules for clients: each with its own case, and all at once."""

from typing import Any

import pytest

from mongostore.models import Client, GrantType, Secret
from mongostore.models.client_validation import FORBIDDEN_URI_PREFIXES, client_problems

HASHED = Secret.sha256("secret")
VALID: dict[str, Any] = {
    "client_id": "web",
    "allowed_grant_types": ["authorization_code"],
    "redirect_uris": ["https://app.example/cb"],
    "client_secrets": [HASHED],
}


def problems(**fields: Any) -> list[str]:
    return client_problems(Client(**{**VALID, **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"redirect_uris": ["com.example.app:/cb", "http://localhost:8080"]},
        {"allowed_grant_types": ["implicit"], "client_secrets": []},
        {"require_client_secret": False, "client_secrets": []},
        {"allowed_grant_types": ["client_credentials"], "redirect_uris": []},
        {"allowed_grant_types": ["urn:example:extension", GrantType.DeviceFlow], "redirect_uris": []},
        {"allowed_grant_types": ["authorization_code", "client_credentials", "password", GrantType.Ciba]},
        {"absolute_refresh_token_lifetime": 0, "sliding_refresh_token_lifetime": 0, "device_code_lifetime": 0},
        {"allowed_cors_origins": ["https://APP.example:443", "capacitor://localhost", "http://[::1]:3000"]},
        {"client_secrets": [Secret.sha512("x"), Secret(value="{}", type="JWK")]},
        {"client_id": "a|b.$c:é", "allowed_scopes": ["x" * 1000]},
        {"properties": {"": "x", " ": "", "a.$b": "\0"}},
        {"protocol_type": "saml2p", "allowed_grant_types": [], "access_token_lifetime": 0, "redirect_uris": []},
    ],
)
def test_valid_clients_have_no_problem(fields: dict[str, Any]) -> None:
    """What the reference accepts is accepted."""
    assert problems(**fields) == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"allowed_grant_types": []}, "allowed_grant_types must name at least one grant type"),
        ({"allowed_grant_types": ["a b"]}, "allowed_grant_types has 'a b': a grant type has no spaces"),
        ({"allowed_grant_types": [""]}, "allowed_grant_types has '', which must not be empty"),
        ({"allowed_grant_types": ["implicit", "authorization_code"]}, "both implicit and authorization_code"),
        ({"allowed_grant_types": ["implicit", "hybrid"]}, "both implicit and hybrid"),
        ({"allowed_grant_types": ["authorization_code", "hybrid"]}, "both authorization_code and hybrid"),
        ({"access_token_lifetime": 0}, "access_token_lifetime must be more than 0 seconds, not 0"),
        ({"identity_token_lifetime": -1}, "identity_token_lifetime must be more than 0 seconds, not -1"),
        (
            {"allowed_grant_types": [GrantType.DeviceFlow], "device_code_lifetime": 0},
            "device_code_lifetime must be more than 0",
        ),
        ({"absolute_refresh_token_lifetime": -1}, "absolute_refresh_token_lifetime must be 0 seconds or more, not -1"),
        ({"sliding_refresh_token_lifetime": -1}, "sliding_refresh_token_lifetime must be 0 seconds or more, not -1"),
        ({"redirect_uris": []}, "redirect_uris must have at least one URI for authorization_code"),
        ({"redirect_uris": [" "]}, "redirect_uris has a blank URI"),
        ({"redirect_uris": [" JavaScript:alert(1)"]}, "must not start with javascript:"),
        ({"redirect_uris": ["\x01\tjava\nscript\r:alert(1)"]}, "must not start with javascript:"),
        ({"allowed_cors_origins": ["https://app.example/"]}, "'https://app.example/', which is no origin"),
        ({"allowed_cors_origins": ["https://app.example/x"]}, "is no origin"),
        ({"allowed_cors_origins": [""]}, "allowed_cors_origins has '', which is no origin"),
        ({"allowed_cors_origins": ["null"]}, "is no origin"),
        ({"client_secrets": []}, "client_secrets must have at least one secret for 'authorization_code'"),
        (
            {"allowed_grant_types": ["client_credentials"], "require_client_secret": False},
            "require_client_secret must be on for client_credentials",
        ),
        (
            {"client_secrets": [Secret(value="hunter2", description="old")]},
            "a secret (old) is no hash: make it with Secret.sha256",
        ),
        ({"client_secrets": [Secret(value="aHVudGVyMg==")]}, "Secret.sha256"),
        ({"client_secrets": [Secret(value=" ", type="JWK")]}, "has no value"),
        ({"client_secrets": [Secret(value="x", type="")]}, "has no type"),
        ({"client_id": ""}, "client_id must not be empty"),
        ({"client_id": "a\0"}, "client_id must not contain a NUL"),
        ({"client_id": "x" * 1001}, "client_id must not be longer than 1,000"),
        ({"client_id": "\ud800"}, "client_id: a text in it has a lone surrogate"),
        ({"allowed_scopes": ["a", ""]}, "allowed_scopes has '', which must not be empty"),
        ({"allowed_scopes": ["  "]}, "allowed_scopes has '  ', which must not be blank"),
        ({"identity_provider_restrictions": ["a\0"]}, "identity_provider_restrictions has 'a\\x00'"),
        ({"protocol_type": ""}, "protocol_type must not be blank"),
        ({"claims": [{"type": "", "value": "x"}]}, "claims has a claim without type"),
        ({"properties": {"a\0": "x"}}, "properties has the name 'a\\x00'"),
        ({"properties": {"x" * 1001: "x"}}, "properties has the name 'xxx"),
    ],
)  # fmt: skip
def test_each_rule_is_told(fields: dict[str, Any], told: str) -> None:
    """One broken rule is one sentence that names the property and what is wrong."""
    found = problems(**fields)
    assert len(found) == 1, found
    assert told in found[0]
    assert "hunter2" not in found[0]
    assert "aHVudGVyMg==" not in found[0]


@pytest.mark.parametrize("field", ["redirect_uris", "post_logout_redirect_uris"])
@pytest.mark.parametrize("prefix", FORBIDDEN_URI_PREFIXES)
def test_dangerous_uris_are_refused(field: str, prefix: str) -> None:
    """Whatever the case, in both lists."""
    (told,) = problems(**{field: [f"{prefix.upper()}//x"]})
    assert told.startswith(f"{field} has ")
    assert prefix in told


def test_all_problems_are_told_at_once() -> None:
    """Nobody has to save five times to learn of five mistakes."""
    found = problems(
        client_id="",
        allowed_grant_types=["implicit", "hybrid"],
        access_token_lifetime=0,
        redirect_uris=[],
        client_secrets=[Secret(value="hunter2")],
        allowed_cors_origins=["https://a/", "https://b/"],
    )
    assert len(found) == 7
    assert "hunter2" not in "".join(found)


def test_other_protocols_are_still_checked_for_what_is_stored() -> None:
    """Identifiers, secrets and origins are everybody's."""
    found = problems(
        protocol_type="saml2p", client_id="", client_secrets=[Secret(value="x")], allowed_cors_origins=["https://a/"]
    )
    assert len(found) == 3


def test_duplicate_grant_types_are_refused_when_made() -> None:
    """A set would hide them; so they are told where they are given."""
    with pytest.raises(ValueError, match="allowed_grant_types lists these more than once: implicit"):
        Client(client_id="c", allowed_grant_types=["implicit", "implicit"])
    with pytest.raises(ValueError, match="more than once: implicit"):
        Client.model_validate_json('{"ClientId":"c","AllowedGrantTypes":["implicit","implicit"]}')


def test_copies_that_hold_what_they_cannot_are_told() -> None:
    """`model_copy` and `model_construct` check nothing."""
    wrong = {"client_id": 3, "allowed_scopes": None, "access_token_lifetime": 2**31}
    found = client_problems(Client(**VALID).model_copy(update=wrong))
    assert sorted(problem.split(":")[0] for problem in found) == sorted(wrong)
    assert client_problems(Client.model_construct(enabled=True)) == ["client_id: Field required"]
