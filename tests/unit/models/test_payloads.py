"""Payloads of grants: written alike for ever, and the reference's are read."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mongostore import models
from mongostore.models import Claim, Client, Consent, Principal, RefreshToken, Secret, Token
from mongostore.models.base import from_payload, to_payload

VECTORS = Path(__file__).parents[2] / "vectors"
DOCUMENT = json.loads((VECTORS / "models.json").read_text(encoding="utf-8"))
NOW = datetime(2024, 1, 31, 12, tzinfo=UTC)


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
    assert caught.value.__cause__ is None


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
