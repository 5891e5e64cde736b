"""Models are validated again where they are used: copies and constructed ones check nothing."""

import functools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from mongostore.models import (
    AuthorizationCode,
    Claim,
    Client,
    Consent,
    DeviceCode,
    IdentityProvider,
    OidcProvider,
    PersistedGrant,
    PersistedGrantFilter,
    Principal,
    Secret,
    SerializedKey,
)
from mongostore.models.grants import check_grant
from mongostore.models.revalidation import made, revalidated, validated
from mongostore.testing.factories import a_consent, a_grant, a_refresh_token, an_authorization_code

DEEP: list[Any] = functools.reduce(lambda value, _: [value], range(100_000), [])
NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)


def test_a_valid_model_is_what_it_was() -> None:
    """Nothing is lost, what was set explicitly included."""
    for model in (an_authorization_code(), a_refresh_token(), a_consent(), a_grant()):
        again = revalidated(model, type(model))
        assert again == model
        assert again.model_fields_set == model.model_fields_set


@pytest.mark.parametrize(
    ("update", "wanted"),
    [
        ({"enabled": "no"}, {"enabled": False}),
        ({"allowed_scopes": ["a", "a"]}, {"allowed_scopes": frozenset({"a"})}),
        ({"client_secrets": [Secret(value="x")]}, {"client_secrets": frozenset({Secret(value="x")})}),
        ({"access_token_lifetime": "60"}, {"access_token_lifetime": 60}),
        ({"dpop_clock_skew": "00:01:00"}, {"dpop_clock_skew": timedelta(minutes=1)}),
    ],
)
def test_a_copy_becomes_what_construction_would_make_of_it(update: dict[str, Any], wanted: dict[str, Any]) -> None:
    """So it is the same in every store."""
    checked = revalidated(Client(client_id="c").model_copy(update=update), Client)
    assert {name: getattr(checked, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("model", "update", "kind", "told"),
    [
        (an_authorization_code(), {"nonce": 4711}, TypeError, "nonce: Input should be a valid string"),
        (an_authorization_code(), {"subject": None}, TypeError, "subject: "),
        (an_authorization_code(), {"subject": Principal.model_construct(claims=[7])}, TypeError, "subject: "),
        (an_authorization_code(), {"requested_scopes": DEEP}, TypeError, "requested_scopes: "),
        (an_authorization_code(), {"creation_time": 10**5_000}, TypeError, "creation_time must be an aware datetime"),
        (an_authorization_code(), {"lifetime": 10**5_000}, ValueError, "lifetime: "),
        (an_authorization_code(), {"properties": {"a": DEEP}}, ValueError, "properties: must be JSON that can be"),
        (an_authorization_code(), {"requested_scope": []}, ValueError, "'requested_scope' (did you mean 'requested_s"),
        (
            DeviceCode(creation_time=NOW, lifetime=1, client_id="c"),
            {"is_authorised": True},
            ValueError,
            "is_authorised",
        ),
        (a_consent(), {"expiration": datetime(2024, 1, 1)}, ValueError, "expiration must be an aware"),  # noqa: DTZ001
        (Client(client_id="c"), {"refresh_token_usage": DEEP}, ValueError, "nested too deeply"),
        (Client(client_id="c"), {"allowed_grant_types": [DEEP]}, TypeError, "allowed_grant_types: "),
        (Client(client_id="c"), {"refresh_token_usage": 10**5_000}, ValueError, ""),
        (
            an_authorization_code(),
            {"subject": Principal().model_copy(update={"claims": [Claim("a", "b").model_copy(update={"hunter2": 1})]})},
            ValueError,
            "subject: a model in it has an unknown property",
        ),
    ],
)
def test_what_it_cannot_hold_is_told_unseen(
    model: Any, update: dict[str, Any], kind: type[Exception], told: str
) -> None:
    """A wrong type is a TypeError, everything else a ValueError; neither is pydantic's, which keeps what it was given."""
    with pytest.raises(kind) as caught:
        revalidated(model.model_copy(update=update), type(model))
    assert type(caught.value) is kind
    assert told in str(caught.value)
    assert "4711" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_an_instance_without_anything_is_told() -> None:
    """Neither what `model_construct` nor what `__new__` makes is an AttributeError later."""
    with pytest.raises(ValueError, match="subject_id: Field required"):
        revalidated(Consent.model_construct(), Consent)
    with pytest.raises(TypeError, match="not made by its constructor"):
        revalidated(Consent.__new__(Consent), Consent)
    with pytest.raises(TypeError, match="a Consent is needed, not dict"):
        revalidated(dict(a_consent()), Consent)


class TenantCode(AuthorizationCode):
    """A subclass that adds a property."""

    tenant_reference: str = "x"


class PlainCode(AuthorizationCode):
    """One that adds none."""


def test_a_subclass_must_not_add_properties() -> None:
    """They would vanish when the model is read again; without any, it is stored as what it is."""
    fields = dict(an_authorization_code())
    with pytest.raises(ValueError, match="there is no property 'tenant_reference'"):
        revalidated(TenantCode(**fields), AuthorizationCode)
    assert type(revalidated(PlainCode(**fields), AuthorizationCode)) is AuthorizationCode
    provider = OidcProvider(scheme="s", authority="https://a")
    assert revalidated(provider, IdentityProvider).properties == provider.properties


def test_models_inside_are_validated_when_the_outer_one_is_made() -> None:
    """A principal that was constructed without checks is found at once."""
    with pytest.raises(ValidationError, match=r"claims.0.type"):
        an_authorization_code(subject=Principal([Claim("a", "b").model_copy(update={"type": 7})]))


def test_a_thousand_problems_make_a_short_message() -> None:
    """Some are told, the others counted."""
    found = validated(
        AuthorizationCode, an_authorization_code().model_copy(update={"requested_scopes": [None] * 1_000})
    )
    assert isinstance(found, list)
    assert len(found) == 21
    assert found[-1] == "and 980 more"


def test_made_of_arguments() -> None:
    """A model that a method makes of its caller's arguments has the same errors."""
    assert made(PersistedGrantFilter, subject_id="alice") == PersistedGrantFilter(subject_id="alice")
    with pytest.raises(TypeError, match="session_id"):
        made(PersistedGrantFilter, subject_id="alice", session_id=7)
    with pytest.raises(ValueError, match="at most 10000 items"):
        made(PersistedGrantFilter, client_ids=["c"] * 10**6)


def test_a_grant_that_is_as_validated_is_not_copied() -> None:
    """Every other one is stored as validation makes it: in UTC, in milliseconds, of plain types."""
    grant = a_grant()
    assert check_grant(grant) is grant
    local = datetime(2030, 1, 1, 1, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=1)))
    for update in ({"creation_time": local}, {"expiration": local}, {"consumed_time": local}):
        (checked,) = [getattr(check_grant(grant.model_copy(update=update)), name) for name in update]
        assert checked == datetime(2030, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)
        assert checked.tzinfo is UTC
    with pytest.raises(ValueError, match=r"'expiraton' .did you mean 'expiration'"):
        check_grant(grant.model_copy(update={"expiraton": local}))
    with pytest.raises(ValueError, match="data"):
        check_grant(PersistedGrant.model_construct(**{**dict(grant), "data": "\ud800"}))
    swapped = PersistedGrant.model_construct()
    swapped.__dict__.update({name: getattr(grant, name) for name in reversed(PersistedGrant.model_fields)})
    assert check_grant(swapped) == grant


def test_a_version_beyond_32_bits_is_refused() -> None:
    """It could not be read again."""
    with pytest.raises(ValueError, match="version"):
        SerializedKey(version=2**31, id="k", created=NOW, algorithm="ES256", data="d")
