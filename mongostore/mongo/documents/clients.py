"""How clients lie in MongoDB: one document each, all that belongs to a client inside."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel
from pymongo import IndexModel

from mongostore.models import Client, ClientClaim, Secret
from mongostore.models.origins import normalize_origin
from mongostore.mongo.documents.base import index
from mongostore.mongo.documents.configuration import ConfigurationCodec, RevisedFields, StoredProperty
from mongostore.protection.envelope import Sealed
from mongostore.tenancy import Tenant


class StoredSecret(BaseModel):
    """A secret, and what is known of it.

    Attributes:
        value: a hash, or what is public; absent when it lies in the payload of the record.
    """

    description: str | None = None
    value: str | None = None
    expiration: datetime | None = None
    type: str


class StoredClaim(BaseModel):
    """A claim about a client."""

    type: str
    value: str
    value_type: str


class ClientFields(RevisedFields):
    """One client; `_id` is `tenant|client_id`. Fields are those of `Client`; sets are sorted arrays.

    Attributes:
        cors_origins: `allowed_cors_origins`, normalised.
        dpop_clock_skew: as `[-][d.]hh:mm:ss[.fffffff]`.
        payload: the secrets that must not lie in clear; see `SecretsCodec`.
        pair_wise_subject_salt: in the payload since there is one; records of before have it here.
    """

    label: ClassVar[str] = "clients"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (index("by_origin", "tenant", "cors_origins", "enabled"),)

    enabled: bool
    client_id: str
    protocol_type: str
    client_secrets: list[StoredSecret]
    require_client_secret: bool
    client_name: str | None = None
    description: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    require_consent: bool
    allow_remember_consent: bool
    allowed_grant_types: list[str]
    require_pkce: bool
    allow_plain_text_pkce: bool
    require_request_object: bool
    allow_access_tokens_via_browser: bool
    require_dpop: bool
    dpop_validation_mode: int
    dpop_clock_skew: str
    redirect_uris: list[str]
    post_logout_redirect_uris: list[str]
    front_channel_logout_uri: str | None = None
    front_channel_logout_session_required: bool
    back_channel_logout_uri: str | None = None
    back_channel_logout_session_required: bool
    allow_offline_access: bool
    allowed_scopes: list[str]
    always_include_user_claims_in_id_token: bool
    identity_token_lifetime: int
    allowed_identity_token_signing_algorithms: list[str]
    access_token_lifetime: int
    authorization_code_lifetime: int
    absolute_refresh_token_lifetime: int
    sliding_refresh_token_lifetime: int
    consent_lifetime: int | None = None
    pushed_authorization_lifetime: int | None = None
    require_pushed_authorization: bool
    refresh_token_usage: int
    update_access_token_claims_on_refresh: bool
    refresh_token_expiration: int
    access_token_type: int
    enable_local_login: bool
    identity_provider_restrictions: list[str]
    include_jwt_id: bool
    claims: list[StoredClaim]
    always_send_client_claims: bool
    client_claims_prefix: str | None = None
    pair_wise_subject_salt: str | None = None
    user_sso_lifetime: int | None = None
    user_code_type: str | None = None
    device_code_lifetime: int
    ciba_lifetime: int | None = None
    polling_interval: int | None = None
    coordinate_lifetime_with_user_session: bool | None = None
    allowed_cors_origins: list[str]
    initiate_login_uri: str | None = None
    properties: list[StoredProperty]
    cors_origins: list[str]
    payload: Sealed | None = None


class _ClientCodec(ConfigurationCodec[Client]):
    def fields(self, tenant: Tenant, model: Client) -> dict[str, Any]:
        """The fields of a client's document, all but its revision."""
        origins = sorted({normalize_origin(each) or each for each in model.allowed_cors_origins})
        return {**super().fields(tenant, model), "cors_origins": origins}


CLIENTS = _ClientCodec(
    Client, ClientFields, key="client_id", noun="client", embedded={"client_secrets": Secret, "claims": ClientClaim}
)
