"""Clients: the applications that ask for tokens."""

from collections import Counter
from datetime import timedelta
from enum import IntFlag, StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, PlainSerializer, field_validator

from mongostore.models.base import EMPTY, ConfigurationModel, ReferenceEnum, Seconds, SetOf, TextSet
from mongostore.models.instants import TimeSpan
from mongostore.models.principal import STRING_VALUE_TYPE
from mongostore.models.secrets import SecretSet


class GrantType(StrEnum):
    """Grant types that the reference knows; any other text is an extension grant."""

    Implicit = "implicit"
    Hybrid = "hybrid"
    AuthorizationCode = "authorization_code"
    ClientCredentials = "client_credentials"
    ResourceOwnerPassword = "password"
    DeviceFlow = "urn:ietf:params:oauth:grant-type:device_code"
    Ciba = "urn:openid:params:grant-type:ciba"
    RefreshToken = "refresh_token"


class TokenUsage(ReferenceEnum):
    """What using a refresh token does to its handle."""

    ReUse = 0
    OneTimeOnly = 1


class TokenExpiration(ReferenceEnum):
    """Whether using a refresh token renews its lifetime."""

    Sliding = 0
    Absolute = 1


class AccessTokenType(ReferenceEnum):
    """Self-contained, or looked up in the store."""

    Jwt = 0
    Reference = 1


class DPoPTokenExpirationValidationMode(IntFlag):
    """How the age of a DPoP proof is judged."""

    Custom = 0
    Iat = 1
    Nonce = 2
    IatAndNonce = 3

    @classmethod
    def _missing_(cls, value: object) -> "DPoPTokenExpirationValidationMode | None":
        return cls.__members__.get(value) if isinstance(value, str) else None


class ClientClaim(ConfigurationModel):
    """A claim about the client itself."""

    type: str
    value: str
    value_type: str = STRING_VALUE_TYPE


def _sorted_claims(claims: frozenset[ClientClaim]) -> list[ClientClaim]:
    return sorted(claims, key=lambda claim: (claim.type, claim.value, claim.value_type))


class Client(ConfigurationModel):
    """An application that may ask for tokens. Lifetimes are seconds; defaults are those of the reference's model."""

    none_is_absent: ClassVar[bool] = False  # No prefix for claims is not the same as the default one.

    enabled: bool = True
    client_id: str
    protocol_type: str = "oidc"
    client_secrets: SecretSet = EMPTY
    require_client_secret: bool = True
    client_name: str | None = None
    description: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    require_consent: bool = False
    allow_remember_consent: bool = True
    allowed_grant_types: TextSet = EMPTY
    require_pkce: bool = True
    allow_plain_text_pkce: bool = False
    require_request_object: bool = False
    allow_access_tokens_via_browser: bool = False
    require_dpop: bool = False
    dpop_validation_mode: DPoPTokenExpirationValidationMode = DPoPTokenExpirationValidationMode.Iat
    dpop_clock_skew: TimeSpan = timedelta(minutes=5)
    redirect_uris: TextSet = EMPTY
    post_logout_redirect_uris: TextSet = EMPTY
    front_channel_logout_uri: str | None = None
    front_channel_logout_session_required: bool = True
    back_channel_logout_uri: str | None = None
    back_channel_logout_session_required: bool = True
    allow_offline_access: bool = False
    allowed_scopes: TextSet = EMPTY
    always_include_user_claims_in_id_token: bool = False
    identity_token_lifetime: Seconds = 300
    allowed_identity_token_signing_algorithms: TextSet = EMPTY
    access_token_lifetime: Seconds = 3600
    authorization_code_lifetime: Seconds = 300
    absolute_refresh_token_lifetime: Seconds = 2_592_000
    sliding_refresh_token_lifetime: Seconds = 1_296_000
    consent_lifetime: Seconds | None = None
    pushed_authorization_lifetime: Seconds | None = None
    require_pushed_authorization: bool = False
    refresh_token_usage: TokenUsage = TokenUsage.ReUse
    update_access_token_claims_on_refresh: bool = False
    refresh_token_expiration: TokenExpiration = TokenExpiration.Absolute
    access_token_type: AccessTokenType = AccessTokenType.Jwt
    enable_local_login: bool = True
    identity_provider_restrictions: TextSet = EMPTY
    include_jwt_id: bool = True
    claims: Annotated[SetOf[ClientClaim], PlainSerializer(_sorted_claims, return_type=list[ClientClaim])] = EMPTY
    always_send_client_claims: bool = False
    client_claims_prefix: str | None = "client_"
    pair_wise_subject_salt: str | None = Field(default=None, repr=False)
    user_sso_lifetime: Seconds | None = None
    user_code_type: str | None = None
    device_code_lifetime: Seconds = 300
    ciba_lifetime: Seconds | None = None
    polling_interval: Seconds | None = None
    coordinate_lifetime_with_user_session: bool | None = None
    allowed_cors_origins: TextSet = EMPTY
    initiate_login_uri: str | None = None
    properties: dict[str, str] = Field(default_factory=dict)

    @field_validator("allowed_grant_types", mode="before")
    @classmethod
    def _grant_types_once_each(cls, value: object) -> object:
        # Refused here and not when the client is saved: a set no longer shows what was given twice.
        if isinstance(value, list | tuple):
            texts = [item for item in value if isinstance(item, str)]
            twice = sorted(str(item) for item, count in Counter(texts).items() if count > 1)
            if twice:
                raise ValueError(f"allowed_grant_types lists these more than once: {', '.join(twice)}")
        return value
