"""Where external identity providers are kept."""

from typing import Protocol

from mongostore.models import IdentityProvider, IdentityProviderName, OidcProvider
from mongostore.models.configuration_validation import identity_provider_problems
from mongostore.stores.configuration import check_expected_revision, check_model
from mongostore.stores.revised import Revised


class IdentityProviderStore(Protocol):
    """Identity providers by their scheme, compared byte for byte. Their properties may hold secrets."""

    async def get_all_scheme_names(self) -> list[IdentityProviderName]:
        """List every provider, disabled ones included, by ascending scheme.

        Unreadable ones are logged and left out.

        Raises:
            PayloadUnreadable, KeyUnavailable: there are providers and not one could be read.
        """

    async def get_by_scheme(self, scheme: str) -> IdentityProvider | None:
        """Read a provider, disabled or not: an `OidcProvider` when its type is "oidc"; None when absent.

        Raises:
            PayloadUnreadable: the stored record is damaged, or its properties belong elsewhere.
            KeyUnavailable: the data key that sealed the properties is missing.
        """

    async def save_identity_provider(self, provider: IdentityProvider, *, expected_revision: int | None = None) -> int:
        """Insert or replace a provider; see `ClientStore.save_client`."""

    async def read_identity_provider(self, scheme: str) -> Revised[IdentityProvider] | None:
        """Read a provider and its revision together, to change it; see `ClientStore.read_client`."""

    async def delete_identity_provider(self, scheme: str, *, expected_revision: int | None = None) -> bool:
        """Delete a provider; see `ClientStore.delete_client`."""


def check_identity_provider(provider: IdentityProvider, expected_revision: int | None) -> IdentityProvider:
    """Give a provider as `save_identity_provider` is to save it; see there."""
    check_expected_revision(expected_revision)
    return check_model(provider, IdentityProvider, "the identity provider", identity_provider_problems)


def typed_provider(provider: IdentityProvider) -> IdentityProvider:
    """Give a provider in the class of its type."""
    return OidcProvider.from_identity_provider(provider) if provider.type == "oidc" else provider
