"""What clients ask access to: identity data, API scopes and the APIs behind them."""

from pydantic import Field

from mongostore.models.base import EMPTY, ConfigurationModel, TextSet
from mongostore.models.secrets import SecretSet


class Resource(ConfigurationModel):
    """What all resources have. The name is what is asked for (identity resources, scopes) or the audience (APIs)."""

    enabled: bool = True
    name: str
    display_name: str | None = None
    description: str | None = None
    show_in_discovery_document: bool = True
    user_claims: TextSet = EMPTY
    properties: dict[str, str] = Field(default_factory=dict)


class IdentityResource(Resource):
    """Claims about the user that are asked for under one scope name."""

    required: bool = False
    emphasize: bool = False


class ApiScope(Resource):
    """A permission at an API."""

    required: bool = False
    emphasize: bool = False


class ApiResource(Resource):
    """An API: the scopes that it serves, and its secrets for introspection."""

    require_resource_indicator: bool = False
    api_secrets: SecretSet = EMPTY
    scopes: TextSet = EMPTY
    allowed_access_token_signing_algorithms: TextSet = EMPTY


class Resources(ConfigurationModel):
    """What was found for a request."""

    identity_resources: list[IdentityResource] = Field(default_factory=list)
    api_resources: list[ApiResource] = Field(default_factory=list)
    api_scopes: list[ApiScope] = Field(default_factory=list)
    offline_access: bool = False
