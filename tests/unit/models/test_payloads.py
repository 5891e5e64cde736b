"""Payloads of grants: written alike for ever, and the reference's are read."""

import functools
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mongostore import models
from mongostore.models import (
    AuthorizationCode,
    BackChannelAuthenticationRequest,
    Claim,
    Client,
    Consent,
    Message,
    Principal,
    RefreshToken,
    Secret,
    Token,
)
from mongostore.models.base import from_payload, to_payload
from mongostore.models.revalidation import revalidated
from mongostore.testing.factories import an_authorization_code

VECTORS = Path(__file__).parents[2] / "vectors"
DOCUMENT = json.loads((VECTORS / "models.json").read_text(encoding="utf-8"))
NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)


def wrapped(value: Any, _: object = None) -> list[Any]:
    return [value]


def backchannel_request(properties: dict[str, Any]) -> BackChannelAuthenticationRequest:
    return BackChannelAuthenticationRequest(
        creation_time=NOW, lifetime=1, client_id="c", subject=Principal(), properties=properties
    )


def backchannel_properties(value: Any) -> BackChannelAuthenticationRequest:
    return backchannel_request({"a": value})


@pytest.mark.parametrize("vector", DOCUMENT["payloads"], ids=lambda vector: vector["model"])
def test_payloads_are_written_and_read_as_ever(vector: dict[str, Any]) -> None:
    """Grants in databases were written with these bytes."""
    model_type = getattr(models, vector["model"])
    model = model_type.model_validate(vector["fields"])
    assert to_payload(model) == vector["payload"].encode()
    assert from_payload(model_type, vector["payload"].encode()) == model


def test_old_refresh_tokens_are_upgraded() -> None:
    """Before version 5, subject, client, session, scopes and description lay in the access token."""
    token = from_payload(RefreshToken, DOCUMENT["old_refresh_token"]["payload"])
    assert token.version == 5
    assert (token.subject_id, token.session_id, token.client_id) == ("alice", "S1", "web")
    assert token.authorized_scopes == ["openid", "offline_access"]
    assert token.description == "phone"
    assert token.access_tokens[""].audiences == ["api"]
    assert token.creation_time == datetime(2021, 3, 1, 9, 30, 0, 123000, UTC)
    assert from_payload(RefreshToken, to_payload(token)) == token


def test_an_upgraded_token_is_upgraded_once() -> None:
    """Whichever way the names are spelt, what is written after an upgrade is of the new version."""
    old = json.loads(DOCUMENT["old_refresh_token"]["payload"])
    snake = {"version": old.pop("Version"), "access_token": old.pop("AccessToken"), **old}
    token = RefreshToken.model_validate(snake)
    assert token == from_payload(RefreshToken, DOCUMENT["old_refresh_token"]["payload"])
    assert from_payload(RefreshToken, to_payload(token)) == token


def test_null_is_written_where_it_is_a_value() -> None:
    """A message may be null itself, and a client without a prefix for claims does not get the default one back."""
    message = Message(None, NOW)
    assert to_payload(message) == b'{"Data":null,"Created":"2024-01-31T12:00:00Z"}'
    assert from_payload(Message, to_payload(message)) == message
    client = Client(client_id="c", client_claims_prefix=None)
    assert from_payload(Client, to_payload(client)) == client


@pytest.mark.parametrize("value", [[None, {"a": None}], 10**4_299, -1.5e308, "", True, {"": []}], ids=type)
def test_json_values_survive(value: Any) -> None:
    """Whatever JSON has is read as it was written, wherever it stands."""
    message, request = Message(value, NOW), backchannel_request({"a": value})
    assert from_payload(Message, to_payload(message)).data == value
    assert from_payload(BackChannelAuthenticationRequest, to_payload(request)).properties == {"a": value}


@pytest.mark.parametrize(
    "value",
    [math.nan, {"a": [math.inf]}, 10**4_300, "hunter2\ud800", {"\ud800": 1}, functools.reduce(wrapped, range(200))],
    ids=type,
)
def test_what_json_cannot_give_back_is_refused(value: Any) -> None:
    """What would become null, or could not be read at all, is told before it is stored."""
    for made in (Message, backchannel_properties):
        with pytest.raises(ValueError, match="must be JSON that can be read again") as caught:
            made(value)
        assert "hunter2" not in str(caught.value)
    deepest = functools.reduce(wrapped, range(199))
    assert from_payload(Message, to_payload(Message(deepest, NOW))).data == deepest
    request = backchannel_properties(deepest)
    assert from_payload(BackChannelAuthenticationRequest, to_payload(request)) == request


def test_a_token_knows_its_subject_session_and_scopes() -> None:
    """They are derived from the claims, and no part of the payload."""
    claims = [Claim("scope", "b"), Claim("sub", "alice"), Claim("sid", "S1"), Claim("scope", "a")]
    token = Token(creation_time=NOW, lifetime=1, client_id="c", claims=claims)
    assert (token.subject_id, token.session_id, token.scopes) == ("alice", "S1", ["b", "a"])
    assert b"SubjectId" not in to_payload(token)
    bare = Token(creation_time=NOW, lifetime=1, client_id="c")
    assert (bare.subject_id, bare.session_id, bare.scopes) == (None, None, [])


def test_claims_leave_out_what_goes_without_saying() -> None:
    """The string type and the local authority are not written, and read as such."""
    principal = Principal([Claim("sub", "alice", issuer="LOCAL AUTHORITY"), Claim("n", "1", "int", "other")], "pwd")
    assert (principal.subject_id, principal.session_id) == ("alice", None)
    written = json.loads(to_payload(principal))
    assert written == {
        "AuthenticationType": "pwd",
        "Claims": [
            {"Type": "sub", "Value": "alice"},
            {"Type": "n", "Value": "1", "ValueType": "int", "Issuer": "other"},
        ],
    }
    assert from_payload(Principal, to_payload(principal)) == principal
    assert Claim.model_validate({"Type": "a", "Value": "b", "ValueType": None}) == Claim("a", "b")


def test_positions_are_checked() -> None:
    """Claims and principals may be made by position, but not with too much or twice the same."""
    assert Principal() == Principal([]) == Principal(claims=[])
    with pytest.raises(TypeError, match="at most 4"):
        Claim("a", "b", "c", "d", "e")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="type"):
        Claim("a", type="b")  # type: ignore[misc]


def test_unreadable_payloads_say_nothing_of_their_content() -> None:
    """What is wrong is named, what stands there is not."""
    for payload in (b'{"SubjectId":"hunter2"}', b"hunter2", b'{"SubjectId":["hunter2"],"ClientId":"c"}', b"\xff\xfe"):
        with pytest.raises(ValueError, match="Consent") as caught:
            from_payload(Consent, payload)
        assert "hunter2" not in str(caught.value)


def test_text_that_json_cannot_hold_is_refused() -> None:
    """A lone surrogate is told without repeating the text around it."""
    consent = Consent(subject_id="s", client_id="c", creation_time=NOW, scopes=["hunter2\ud800"])
    with pytest.raises(ValueError, match="lone surrogate") as caught:
        to_payload(consent)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (AuthorizationCode, "properties", "x"),
        (BackChannelAuthenticationRequest, "properties", 1),
        (RefreshToken, "access_tokens", Token(creation_time=NOW, lifetime=1, client_id="c")),
    ],
)
def test_names_that_json_would_change_are_refused(model: Any, field: str, value: object) -> None:
    """A lone surrogate in a name would be written as something else; any other name survives."""
    fields = {"creation_time": NOW, "lifetime": 1, "client_id": "c", "subject": Principal()}
    with pytest.raises(ValueError, match=field):
        model(**fields, **{field: {"a\ud800": value}})
    made = model(**fields, **{field: {"": value, "a.$ä\0": value}})
    assert from_payload(model, to_payload(made)) == made


def test_a_value_of_another_type_is_refused_unseen(recwarn: pytest.WarningsRecorder) -> None:
    """A copy is not checked when it is made; neither the error nor a warning shows the value."""
    code = an_authorization_code().model_copy(update={"nonce": 4711})
    with pytest.raises(TypeError, match="this AuthorizationCode can't be used: nonce: Input should be") as refused:
        revalidated(code, AuthorizationCode)
    assert "4711" not in repr(refused.value)
    assert not recwarn.list


def test_a_reference_client_is_read_and_written() -> None:
    """A whole client as the reference serialises it, with every property."""
    text = (VECTORS / "models_client.json").read_text(encoding="utf-8")
    client = Client.model_validate_json(text)
    assert client == Client.model_validate(json.loads(text))
    assert client.require_dpop
    assert client.dpop_clock_skew.total_seconds() == 150.5
    assert client.allowed_grant_types == {"authorization_code", "client_credentials"}
    assert Secret.sha256("secret") in client.client_secrets
    written = json.loads(client.model_dump_json(by_alias=True))
    given = json.loads(text)
    assert set(written) == set(given)
    for name, value in given.items():
        if name != "ClientSecrets":
            assert written[name] == (sorted(value) if isinstance(value, list) and name != "Claims" else value), name
    assert Client.model_validate(written) == client
