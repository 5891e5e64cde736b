"""The rules that resources and identity providers must keep to be saved or served: all that are broken at once."""

from mongostore.models.client_validation import identifier_set_problems, property_problems
from mongostore.models.identifiers import identifier_problem
from mongostore.models.identity_providers import IdentityProvider, OidcProvider
from mongostore.models.resources import ApiResource, IdentityResource, Resource
from mongostore.models.revalidation import validated
from mongostore.models.secrets import secret_problems


def resource_problems(resource: Resource) -> list[str]:
    """Say everything that keeps an identity resource, API scope or API resource from being valid."""
    checked = validated(type(resource), resource)
    if isinstance(checked, list):
        return checked
    resource = checked
    found = _name_problems("name", resource.name)
    found += identifier_set_problems("user_claims", resource.user_claims)
    if isinstance(resource, IdentityResource) and not resource.user_claims:
        found.append("user_claims must name at least one claim: that is what an identity resource is for")
    if isinstance(resource, ApiResource):
        found += identifier_set_problems("scopes", resource.scopes)
        found += secret_problems("api_secrets", resource.api_secrets)
    return found + property_problems(resource.properties)


def identity_provider_problems(provider: IdentityProvider) -> list[str]:
    """Say everything that keeps an identity provider from being valid. Property values are never repeated."""
    checked = validated(IdentityProvider, provider)
    if isinstance(checked, list):
        return checked
    provider = checked
    found = [*_name_problems("type", provider.type), *_name_problems("scheme", provider.scheme)]
    if provider.type == "oidc":
        oidc = OidcProvider(scheme=provider.scheme, properties=provider.properties)
        needed = (
            ("Authority", oidc.authority),
            ("ClientId", oidc.client_id),
            ("ResponseType", oidc.response_type),
            ("Scope", oidc.scope),
        )
        found += [f"properties must have {name} for type oidc" for name, value in needed if not (value or "").strip()]
    return found + property_problems(provider.properties)


def _name_problems(name: str, value: str) -> list[str]:
    problem = identifier_problem(value)
    if problem is None and not value.strip():
        problem = "must not be blank"
    return [] if problem is None else [f"{name} {problem}"]
