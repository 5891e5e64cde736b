"""Models with realistic values for tests: give what matters to the test, the rest is filled in."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from mongostore.grants.handles import grant_key, new_handle
from mongostore.models import (
    AuthenticationTicket,
    AuthorizationCode,
    BackChannelAuthenticationRequest,
    Claim,
    Client,
    Consent,
    DeviceCode,
    PersistedGrant,
    PersistedGrantType,
    Principal,
    PushedAuthorizationRequest,
    RefreshToken,
    Secret,
    SerializedKey,
    ServerSideSession,
    Token,
)

LIFETIME_SECONDS = 3_600


def a_client(client_id: str = "web", **values: Any) -> Client:
    """A confidential client with the code flow."""
    return Client(
        **{
            "client_id": client_id,
            "client_secrets": [Secret.sha256("secret")],
            "allowed_grant_types": ["authorization_code"],
            "redirect_uris": ["https://app.example.com/signin"],
            "allowed_scopes": ["openid", "profile", "orders.read"],
            **values,
        }
    )


def a_grant(key: str | None = None, **values: Any) -> PersistedGrant:
    """A refresh token's grant that lives for an hour from now, under a random key."""
    now = datetime.now(UTC)
    return PersistedGrant(
        **{
            "key": key or grant_key(new_handle(), PersistedGrantType.RefreshToken),
            "type": PersistedGrantType.RefreshToken.value,
            "subject_id": "alice",
            "session_id": "s1",
            "client_id": "web",
            "description": "Alice's laptop",
            "creation_time": now,
            "expiration": now + timedelta(seconds=LIFETIME_SECONDS),
            "data": "payload",
            **values,
        }
    )


def a_principal(subject_id: str = "alice", session_id: str | None = "s1") -> Principal:
    """A signed-in subject."""
    claims = [Claim("sub", subject_id), Claim("amr", "pwd")]
    if session_id is not None:
        claims.append(Claim("sid", session_id))
    return Principal(claims, "pwd")


def an_authorization_code(subject_id: str = "alice", **values: Any) -> AuthorizationCode:
    """A code that lives for an hour from now."""
    return AuthorizationCode(
        **{
            "creation_time": datetime.now(UTC),
            "lifetime": LIFETIME_SECONDS,
            "client_id": "web",
            "subject": a_principal(subject_id),
            "is_open_id": True,
            "requested_scopes": ["openid", "profile"],
            "redirect_uri": "https://app.example.com/signin",
            "nonce": "n-0S6_WzA2Mj",
            "session_id": "s1",
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
            **values,
        }
    )


def a_refresh_token(subject_id: str = "alice", **values: Any) -> RefreshToken:
    """A token that lives for an hour from now."""
    return RefreshToken(
        **{
            "creation_time": datetime.now(UTC),
            "lifetime": LIFETIME_SECONDS,
            "client_id": "web",
            "subject": a_principal(subject_id),
            "session_id": "s1",
            "authorized_scopes": ["openid", "profile", "offline_access"],
            **values,
        }
    )


def a_reference_token(subject_id: str | None = "alice", session_id: str | None = "s1", **values: Any) -> Token:
    """An access token that lives for an hour from now; without a subject it is the client's own."""
    claims = [Claim("scope", "orders.read")]
    if subject_id is not None:
        claims.append(Claim("sub", subject_id))
    if session_id is not None:
        claims.append(Claim("sid", session_id))
    return Token(
        **{
            "creation_time": datetime.now(UTC),
            "lifetime": LIFETIME_SECONDS,
            "client_id": "web",
            "issuer": "https://id.example.com",
            "audiences": ["orders"],
            "claims": claims,
            **values,
        }
    )


def a_consent(subject_id: str = "alice", client_id: str = "web", **values: Any) -> Consent:
    """A consent without expiration."""
    return Consent(
        **{
            "subject_id": subject_id,
            "client_id": client_id,
            "scopes": ["openid", "profile"],
            "creation_time": datetime.now(UTC),
            **values,
        }
    )


def a_serialized_key(key_id: str = "k1", **values: Any) -> SerializedKey:
    """A signing key as it is stored, made at the start of 2030; all have the same numbers, which everybody knows."""
    return SerializedKey(
        **{
            "id": key_id,
            "created": datetime(2030, 1, 1, tzinfo=UTC),
            "algorithm": "ES256",
            "data": a_private_jwk(key_id),
            **values,
        }
    )


def a_private_jwk(key_id: str, **members: Any) -> str:
    """The data of such a key: the example of RFC 7515, appendix A.3."""
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
        "kid": key_id,
        "alg": "ES256",
    }
    return json.dumps(jwk | members)


def a_device_code(**values: Any) -> DeviceCode:
    """A device's request that no user has answered yet; it lives for an hour from now."""
    return DeviceCode(
        **{
            "creation_time": datetime.now(UTC),
            "lifetime": LIFETIME_SECONDS,
            "client_id": "tv",
            "description": "the one in the kitchen",
            "is_open_id": True,
            "requested_scopes": ["openid", "profile"],
            **values,
        }
    )


def an_answered_device_code(subject_id: str = "alice", **values: Any) -> DeviceCode:
    """The same, authorized by its user."""
    answer = {"is_authorized": True, "subject": a_principal(subject_id), "authorized_scopes": ["openid"]}
    return a_device_code(**{**answer, "session_id": "s1", **values})


def a_pushed_request(reference_value_hash: str = "hash", **values: Any) -> PushedAuthorizationRequest:
    """Pushed parameters that live for an hour from now."""
    return PushedAuthorizationRequest(
        **{
            "reference_value_hash": reference_value_hash,
            "expires_at_utc": datetime.now(UTC) + timedelta(seconds=LIFETIME_SECONDS),
            "parameters": {"client_id": ["web"], "scope": ["openid profile"], "resource": ["urn:a", "urn:b"]},
            **values,
        }
    )


def a_backchannel_request(subject_id: str = "alice", **values: Any) -> BackChannelAuthenticationRequest:
    """A request that its user has not answered yet; it lives for an hour from now."""
    return BackChannelAuthenticationRequest(
        **{
            "creation_time": datetime.now(UTC),
            "lifetime": LIFETIME_SECONDS,
            "client_id": "bank",
            "subject": a_principal(subject_id, session_id=None),
            "requested_scopes": ["openid", "payments"],
            "binding_message": "W4SCT",
            **values,
        }
    )


def a_session(key: str | None = None, **values: Any) -> ServerSideSession:
    """A session with a ticket of the server's own that lives for an hour from now, under a random key."""
    now = datetime.now(UTC)
    return ServerSideSession(
        **{
            "key": key or new_handle(),
            "scheme": "cookie",
            "subject_id": "alice",
            "session_id": "s1",
            "display_name": "Alice Adams",
            "created": now,
            "renewed": now,
            "expires": now + timedelta(seconds=LIFETIME_SECONDS),
            "ticket": "opaque",
            **values,
        }
    )


def a_ticket(subject_id: str = "alice", session_id: str = "s1", **values: Any) -> AuthenticationTicket:
    """A sign-in to one client that lasts for an hour from now."""
    now = datetime.now(UTC)
    return AuthenticationTicket(
        **{
            "scheme": "cookie",
            "principal": a_principal(subject_id, session_id),
            "issued": now,
            "expires": now + timedelta(seconds=LIFETIME_SECONDS),
            "issuer": "https://id.example.com",
            "client_ids": ["web"],
            "items": {"returnUrl": "/"},
            **values,
        }
    )
