"""How resources lie in MongoDB: scopes of both kinds in one collection, which makes theirs one name space."""

from typing import ClassVar

from pymongo import IndexModel

from mongostore.models import ApiResource, ApiScope, IdentityResource, Secret
from mongostore.mongo.documents.base import index
from mongostore.mongo.documents.clients import StoredSecret
from mongostore.mongo.documents.configuration import ConfigurationCodec, RevisedFields, StoredProperty
from mongostore.protection.envelope import Sealed
from mongostore.stores.configuration import ScopeKind


class ResourceFields(RevisedFields):
    """What all resources have; `_id` is `tenant|name`. Fields are those of the models; sets are sorted arrays."""

    enabled: bool
    name: str
    display_name: str | None = None
    description: str | None = None
    show_in_discovery_document: bool
    user_claims: list[str]
    properties: list[StoredProperty]


class ScopeFields(ResourceFields):
    """One identity resource or API scope."""

    label: ClassVar[str] = "scopes"

    kind: ScopeKind
    required: bool
    emphasize: bool


class ApiResourceFields(ResourceFields):
    """One API resource.

    Attributes:
        payload: the secrets that must not lie in clear; see `SecretsCodec`.
    """

    label: ClassVar[str] = "api_resources"
    sealed_fields: ClassVar[tuple[str, ...]] = ("payload",)
    indexes: ClassVar[tuple[IndexModel, ...]] = (index("by_scope", "tenant", "scopes"),)

    require_resource_indicator: bool
    api_secrets: list[StoredSecret]
    scopes: list[str]
    allowed_access_token_signing_algorithms: list[str]
    payload: Sealed | None = None


IDENTITY_RESOURCES = ConfigurationCodec(
    IdentityResource, ScopeFields, key="name", noun="identity resource", embedded={}
)
API_SCOPES = ConfigurationCodec(ApiScope, ScopeFields, key="name", noun="API scope", embedded={})
API_RESOURCES = ConfigurationCodec(
    ApiResource, ApiResourceFields, key="name", noun="API resource", embedded={"api_secrets": Secret}
)
