"""What an identity server talks about: frozen models under the reference's names, with its defaults. No database."""

from mongostore.models.backchannel import BackChannelAuthenticationRequest
from mongostore.models.clients import (
    AccessTokenType,
    Client,
    ClientClaim,
    DPoPTokenExpirationValidationMode,
    GrantType,
    TokenExpiration,
    TokenUsage,
)
from mongostore.models.device_codes import DeviceCode
from mongostore.models.grants import PersistedGrant, PersistedGrantFilter, PersistedGrantType
from mongostore.models.identity_providers import IdentityProvider, IdentityProviderName, OidcProvider
from mongostore.models.messages import Message
from mongostore.models.paging import QueryResult
from mongostore.models.principal import Claim, Principal
from mongostore.models.pushed_requests import PushedAuthorizationRequest
from mongostore.models.resources import ApiResource, ApiScope, IdentityResource, Resources
from mongostore.models.secrets import Secret, SecretType
from mongostore.models.sessions import (
    AuthenticationTicket,
    RemoveSessionsContext,
    ServerSideSession,
    SessionFilter,
    SessionQuery,
    UserSession,
)
from mongostore.models.signing_keys import SerializedKey
from mongostore.models.tokens import AuthorizationCode, Consent, Grant, ProofType, RefreshToken, Token

__all__ = [
    "AccessTokenType",
    "ApiResource",
    "ApiScope",
    "AuthenticationTicket",
    "AuthorizationCode",
    "BackChannelAuthenticationRequest",
    "Claim",
    "Client",
    "ClientClaim",
    "Consent",
    "DPoPTokenExpirationValidationMode",
    "DeviceCode",
    "Grant",
    "GrantType",
    "IdentityProvider",
    "IdentityProviderName",
    "IdentityResource",
    "Message",
    "OidcProvider",
    "PersistedGrant",
    "PersistedGrantFilter",
    "PersistedGrantType",
    "Principal",
    "ProofType",
    "PushedAuthorizationRequest",
    "QueryResult",
    "RefreshToken",
    "RemoveSessionsContext",
    "Resources",
    "Secret",
    "SecretType",
    "SerializedKey",
    "ServerSideSession",
    "SessionFilter",
    "SessionQuery",
    "Token",
    "TokenExpiration",
    "TokenUsage",
    "UserSession",
]
