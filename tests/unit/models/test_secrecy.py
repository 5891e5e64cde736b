"""Secrets don't show: not in a repr, not in an error."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest

from mongostore.models import (
    AuthorizationCode,
    BackChannelAuthenticationRequest,
    Client,
    Message,
    OidcProvider,
    PersistedGrant,
    Principal,
    PushedAuthorizationRequest,
    QueryResult,
    RefreshToken,
    Secret,
    SerializedKey,
    ServerSideSession,
    SessionQuery,
    UserSession,
)

NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)
HIDDEN = "hunter2"
MADE = {"creation_time": NOW, "lifetime": 1, "client_id": "c", "subject": Principal([])}
TIMES = {"created": NOW, "renewed": NOW, "subject_id": "s", "session_id": "S1"}


@pytest.mark.parametrize(
    "model",
    [
        Secret(value=HIDDEN),
        Client(client_id="c", client_secrets=[Secret(value=HIDDEN)], pair_wise_subject_salt=HIDDEN),
        PersistedGrant(key=HIDDEN, type="t", client_id="c", creation_time=NOW, data=HIDDEN),
        ServerSideSession(key=HIDDEN, scheme="x", ticket=HIDDEN, **TIMES),
        UserSession(authentication_ticket=HIDDEN, **TIMES),
        SerializedKey(id="k", created=NOW, algorithm="RS256", data=HIDDEN),
        PushedAuthorizationRequest(reference_value_hash=HIDDEN, expires_at_utc=NOW, parameters={HIDDEN: [HIDDEN]}),
        AuthorizationCode(**MADE, nonce=HIDDEN, state_hash=HIDDEN, code_challenge=HIDDEN, properties={"a": HIDDEN}),
        RefreshToken(**MADE),
        BackChannelAuthenticationRequest(**MADE, internal_id=HIDDEN, properties={"a": HIDDEN}),
        OidcProvider(scheme="x", client_secret=HIDDEN),
        Message(HIDDEN),
        SessionQuery(results_token=HIDDEN),
        QueryResult(results_token=HIDDEN),
    ],
    ids=lambda model: type(model).__name__,
)
def test_no_secret_in_a_repr(model: Any) -> None:
    """What is logged by accident gives nothing away."""
    assert HIDDEN not in repr(model)
    assert HIDDEN not in str(model)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Secret, {"value": [HIDDEN]}),
        (PersistedGrant, {"key": HIDDEN, "type": "t", "client_id": "c", "creation_time": HIDDEN, "data": HIDDEN}),
        (Client, {"client_secrets": HIDDEN}),
        (OidcProvider, {"client_secret": [HIDDEN], "properties": HIDDEN}),
    ],
)
def test_no_input_in_an_error(model: Any, fields: dict[str, Any]) -> None:
    """A refused value is not repeated."""
    with pytest.raises(ValueError, match="validation error") as caught:
        model(**fields)
    assert HIDDEN not in str(caught.value)


def test_secrets_are_hashed_as_the_reference_does() -> None:
    """Base64 of the digest of the UTF-8 bytes."""
    secret = Secret.sha256("sécret", description="2024", expiration=NOW)
    assert secret.value == base64.b64encode(hashlib.sha256("sécret".encode()).digest()).decode()
    assert (secret.description, secret.expiration, secret.type) == ("2024", NOW, "SharedSecret")
    assert Secret.sha256("secret").value == "K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="
    assert len(base64.b64decode(Secret.sha512("secret", type="custom").value)) == 64


@pytest.mark.parametrize("wrong", ["", "hunter2\ud800"])
def test_no_secret_is_made_from_nothing(wrong: str) -> None:
    """An empty or unencodable plain text is refused, and not repeated."""
    with pytest.raises(ValueError, match="plaintext") as caught:
        Secret.sha256(wrong)
    assert HIDDEN not in repr(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(TypeError, match="plaintext"):
        Secret.sha512(b"x")  # type: ignore[arg-type]


def test_secrets_are_equal_by_type_and_value() -> None:
    """As in the reference's sets; a description does not make another secret."""
    assert Secret(value="a") == Secret(value="a", description="x", expiration=NOW)
    assert len({Secret(value="a"), Secret(value="a", description="x"), Secret(value="a", type="JWK")}) == 2
    assert Secret(value="a") != Secret(value="b")
    assert Secret(value="a") != "a"
