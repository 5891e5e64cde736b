"""What a party is given against: codes, tokens and consents."""

from typing import Any

from pydantic import Field, model_validator

from mongostore.models.base import (
    EMPTY,
    Identifier,
    Json,
    Model,
    Number,
    PropertyName,
    ReferenceEnum,
    Seconds,
    TextSet,
    is_empty,
)
from mongostore.models.clients import AccessTokenType
from mongostore.models.instants import Instant
from mongostore.models.principal import Claim, Principal, SubjectModel, first_claim

REFRESH_TOKEN_VERSION = 5
# What the reference calls a principal that it made itself.
_OWN_AUTHENTICATION = "Duende.IdentityServer"


class ProofType(ReferenceEnum):
    """What a token is bound to. The reference's `None` is a keyword of Python, hence the underscore."""

    None_ = 0
    ClientCertificate = 1
    DPoP = 2


class AuthorizationCode(SubjectModel):
    """An authorization code: RFC 6749 §4.1.2, RFC 7636 (PKCE). `lifetime` is seconds."""

    creation_time: Instant
    lifetime: Seconds
    client_id: Identifier
    is_open_id: bool = False
    requested_scopes: list[str] = Field(default_factory=list)
    requested_resource_indicators: list[str] | None = None
    redirect_uri: str | None = None
    nonce: str | None = Field(default=None, repr=False)
    state_hash: str | None = Field(default=None, repr=False)
    was_consent_shown: bool = False
    session_id: str | None = None
    code_challenge: str | None = Field(default=None, repr=False)
    code_challenge_method: str | None = None
    dpop_key_thumbprint: str | None = None
    description: str | None = None
    properties: dict[PropertyName, Json] = Field(default_factory=dict, repr=False)


class Token(Model):
    """An access or identity token before it is written; a reference token is stored as this. `lifetime` is seconds."""

    allowed_signing_algorithms: TextSet = EMPTY
    confirmation: str | None = None
    audiences: list[str] = Field(default_factory=list)
    issuer: str | None = None
    creation_time: Instant
    lifetime: Seconds
    type: str = "access_token"
    client_id: Identifier
    access_token_type: AccessTokenType = AccessTokenType.Jwt
    description: str | None = None
    include_jwt_id: bool = False
    claims: list[Claim] = Field(default_factory=list)
    version: Number = 5
    properties: dict[PropertyName, Json] = Field(default_factory=dict, repr=False, exclude_if=is_empty)

    @property
    def subject_id(self) -> str | None:
        """The value of the `sub` claim; None for a client's own token."""
        return first_claim(self.claims, "sub")

    @property
    def session_id(self) -> str | None:
        """The value of the `sid` claim."""
        return first_claim(self.claims, "sid")

    @property
    def scopes(self) -> list[str]:
        """The values of the `scope` claims, in their order."""
        return [claim.value for claim in self.claims if claim.type == "scope"]


class RefreshToken(SubjectModel):
    """A refresh token: RFC 6749 §6. `lifetime` is seconds, counted from `creation_time`.

    Payloads of before version 5 are read too: what they lack is taken from the access token that they hold.
    """

    creation_time: Instant
    lifetime: Seconds
    consumed_time: Instant | None = None
    access_tokens: dict[PropertyName, Token] = Field(default_factory=dict, repr=False)
    version: Number = REFRESH_TOKEN_VERSION
    client_id: Identifier
    session_id: str | None = None
    description: str | None = None
    authorized_scopes: list[str] = Field(default_factory=list)
    authorized_resource_indicators: list[str] | None = None
    proof_type: ProofType | None = None
    properties: dict[PropertyName, Json] = Field(default_factory=dict, repr=False, exclude_if=is_empty)

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        version = given.get("Version", given.get("version", REFRESH_TOKEN_VERSION))
        old = given.get("AccessToken", given.get("access_token"))
        if old is not None and (not isinstance(version, int) or version >= REFRESH_TOKEN_VERSION):
            return given
        given = {name: value for name, value in given.items() if name not in ("AccessToken", "access_token")}
        if old is None:
            return given
        token = Token.model_validate(old, extra="ignore")
        upgraded = {
            "Subject": Principal(token.claims, _OWN_AUTHENTICATION),
            "ClientId": token.client_id,
            "SessionId": token.session_id,
            "Description": token.description,
            "AuthorizedScopes": token.scopes,
            "AccessTokens": {"": token},
        }
        # The old form had these on the access token alone; anything given beside it is newer.
        kept = {name: value for name, value in given.items() if value is not None and name != "version"}
        return {**upgraded, **kept, "Version": REFRESH_TOKEN_VERSION}


class Consent(Model):
    """What a user allowed a client. Without `expiration` it holds for ever."""

    subject_id: Identifier
    client_id: Identifier
    scopes: list[str] | None = None
    creation_time: Instant
    expiration: Instant | None = None
    properties: dict[PropertyName, Json] = Field(default_factory=dict, repr=False, exclude_if=is_empty)


class Grant(Model):
    """All that a user has granted to one client, merged for display."""

    subject_id: str
    client_id: str
    description: str | None = None
    scopes: list[str] = Field(default_factory=list)
    creation_time: Instant
    expiration: Instant | None = None
