"""External identity providers that users may sign in with. What is special about a kind lies in its properties."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from mongostore.models.base import ConfigurationModel, Model, reference_name

_OIDC_PROPERTIES = (
    "authority",
    "response_type",
    "client_id",
    "client_secret",
    "scope",
    "get_claims_from_user_info_endpoint",
    "use_pkce",
)


class IdentityProviderName(Model):
    """What a login page lists."""

    scheme: str
    display_name: str | None = None
    enabled: bool = True


class IdentityProvider(ConfigurationModel):
    """A provider of any type. `properties` may hold its client secret, so no repr shows them."""

    type: str
    scheme: str
    display_name: str | None = None
    enabled: bool = True
    properties: dict[str, str] = Field(default_factory=dict, repr=False)


class OidcProvider(IdentityProvider):
    """An OpenID Connect provider. Its settings are kept in `properties`, and may be given there or by their names."""

    type: Literal["oidc"] = "oidc"

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            scheme: str,
            type: Literal["oidc"] = "oidc",  # noqa: A002  (the reference's word)
            display_name: str | None = None,
            enabled: bool = True,
            properties: dict[str, str] = ...,
            authority: str | None = None,
            response_type: str | None = None,
            client_id: str | None = None,
            client_secret: str | None = None,
            scope: str | None = None,
            get_claims_from_user_info_endpoint: bool | None = None,
            use_pkce: bool | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _settings_into_properties(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given = dict(given)
        settings = {}
        for name in _OIDC_PROPERTIES:
            for key in (name, reference_name(name)):
                value = given.pop(key, None)
                if value is not None:
                    settings[reference_name(name)] = str(value).lower() if isinstance(value, bool) else value
        if settings:
            key = "Properties" if "Properties" in given else "properties"
            properties = given.get(key) or {}
            if not isinstance(properties, dict):
                return given
            given[key] = {**properties, **settings}
        _check_scopes(given.pop("Scopes", None), given.get("Properties", given.get("properties", {})))
        return given

    @classmethod
    def from_identity_provider(cls, provider: IdentityProvider) -> Self:
        """Read a provider as an OpenID Connect one.

        Raises:
            ValueError: its type is another.
        """
        if provider.type != "oidc":
            raise ValueError(f"{provider.scheme!r} is of type {provider.type!r}, not 'oidc'")
        return cls.model_validate({name: getattr(provider, name) for name in IdentityProvider.model_fields})

    @property
    def authority(self) -> str | None:
        """The provider's address."""
        return self.properties.get("Authority")

    @property
    def response_type(self) -> str:
        """The response type asked for; `id_token` unless set."""
        return self.properties.get("ResponseType", "id_token")

    @property
    def client_id(self) -> str | None:
        """This server's client id at the provider."""
        return self.properties.get("ClientId")

    @property
    def client_secret(self) -> str | None:
        """This server's secret at the provider, in clear."""
        return self.properties.get("ClientSecret")

    @property
    def scope(self) -> str:
        """The scopes asked for, separated by spaces; `openid` unless set."""
        return self.properties.get("Scope", "openid")

    @property
    def scopes(self) -> list[str]:
        """The scopes asked for."""
        return self.scope.split()

    @property
    def get_claims_from_user_info_endpoint(self) -> bool:
        """Whether the userinfo endpoint is asked; true unless set."""
        return self.properties.get("GetClaimsFromUserInfoEndpoint", "true").lower() == "true"

    @property
    def use_pkce(self) -> bool:
        """Whether PKCE is used; true unless set."""
        return self.properties.get("UsePkce", "true").lower() == "true"


def _check_scopes(scopes: object, properties: object) -> None:
    """Refuse scopes that are not those of the setting: the reference writes both, and only the setting is kept."""
    scope = properties.get("Scope", "openid") if isinstance(properties, dict) else None
    if scopes is not None and isinstance(scope, str) and scopes != scope.split():
        raise ValueError("Scopes is derived from Scope and says something else: leave it out")
