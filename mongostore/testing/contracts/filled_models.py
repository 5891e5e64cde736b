"""Models with something other than the default in every property, made from the classes: no new property is forgotten."""

from datetime import UTC, datetime, timedelta
from enum import Enum
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from mongostore.models import ApiResource, ApiScope, Client, ClientClaim, IdentityResource, OidcProvider, Secret

ModelT = TypeVar("ModelT", bound=BaseModel)

ODD_NAMES = [
    "a|b",
    "a.b",
    "$where",
    "a:b",
    " a ",
    "A",
    "a",
    "ä",
    "a\u0308",
    "日本",
    "😀",
    "%7C",
    "default|a",
    "x" * 1_000,
]
IMPOSSIBLE_NAMES: list[Any] = ["", "a\0b", "x" * 1_001, "\ud800", None, 7, ["a"]]

PROPERTIES = {name: f"value of {name}" for name in (*ODD_NAMES, " ", "\n", "$ref", "_id", "a.$b", "name")}
SECRETS = {
    Secret.sha256("first", description="one", expiration=datetime(2031, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)),
    Secret.sha512("second"),
    Secret(type="X509Thumbprint", value="ab:cd", description=" "),
}
CLAIMS = {
    ClientClaim(type="t", value="v"),
    ClientClaim(type="t", value="v", value_type="json"),
    ClientClaim(type="a.b", value=""),
}


def filled(model: type[ModelT], **given: Any) -> ModelT:
    """Make a model in which every property differs from its default, by its annotation if not given."""
    made = model(
        **{name: _value(name, field.annotation, field.default) for name, field in model.model_fields.items()} | given
    )
    for name, field in model.model_fields.items():
        assert getattr(made, name) != field.get_default(call_default_factory=True), f"{name} has its default"
    return made


def with_nulls(model: ModelT) -> ModelT:
    """Give a model in which every property that may be None is None."""
    nullable = [name for name, field in type(model).model_fields.items() if NoneType in get_args(field.annotation)]
    return model.model_copy(update=dict.fromkeys(nullable))


def a_filled_client(client_id: str = "web", **given: Any) -> Client:
    """A valid client, every property set."""
    values = {
        "client_id": client_id,
        "protocol_type": "wsfed",
        "client_secrets": SECRETS,
        "allowed_grant_types": {"authorization_code", "refresh_token", "urn:x:extension"},
        "dpop_clock_skew": timedelta(days=1, hours=2, microseconds=3),
        "redirect_uris": {"https://app.example/callback", "com.example.app:/callback?a=$1"},
        "claims": CLAIMS,
        "allowed_cors_origins": {"https://APP.example:443", "http://localhost:3000"},
    }
    return filled(Client, **values | given)


def a_filled_identity_resource(name: str = "profile") -> IdentityResource:
    """A valid identity resource, every property set."""
    return filled(IdentityResource, name=name)


def a_filled_api_scope(name: str = "orders.read") -> ApiScope:
    """A valid API scope, every property set."""
    return filled(ApiScope, name=name)


def a_filled_api_resource(name: str = "urn:orders", **given: Any) -> ApiResource:
    """A valid API resource, every property set."""
    return filled(ApiResource, name=name, api_secrets=SECRETS, **given)


def an_identity_resource(name: str = "profile", **given: Any) -> IdentityResource:
    """A valid identity resource with little more than its name."""
    return IdentityResource(name=name, **{"user_claims": {"name"}, **given})


def an_api_resource(name: str = "orders", **given: Any) -> ApiResource:
    """A valid API resource with little more than its name."""
    return ApiResource(name=name, **given)


def an_oidc_provider(scheme: str = "acme", **given: Any) -> OidcProvider:
    """A valid OpenID Connect provider with a secret."""
    values = {"authority": "https://acme.example", "client_id": "us", "client_secret": "hunter2"}
    return OidcProvider(scheme=scheme, **values | given)


def _value(name: str, annotation: Any, default: object) -> Any:
    kind = annotation
    while get_origin(kind) is Annotated or NoneType in get_args(kind):
        kind = get_args(kind)[0]
    if kind is bool:
        return default is not True
    if kind is int:
        # Another one for every property, so that two that were swapped show.
        return 1_000 + sum(map(ord, name))
    if kind is str:
        return f"{name} ä|$."
    if kind is timedelta:
        return timedelta(seconds=1)
    if get_origin(kind) is frozenset:
        return {f"{name} b", f"{name} a", f"{name} $c"} if get_args(kind) == (str,) else set()
    if get_origin(kind) is dict:
        return PROPERTIES
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(member for member in reversed(kind) if member is not default)
    raise TypeError(f"{name}: no value is known for {annotation}; give one")
