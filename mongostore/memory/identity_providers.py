"""`IdentityProviderStore` without a database; the properties are in clear."""

from mongostore.memory.revisions import MemoryRevisions, RevisedRecords
from mongostore.models import IdentityProvider, IdentityProviderName
from mongostore.stores.configuration import named
from mongostore.stores.identity_providers import check_identity_provider, typed_provider
from mongostore.stores.revised import Revised


class MemoryIdentityProviderStore:
    """An `IdentityProviderStore` that forgets everything with the process."""

    def __init__(self, revisions: MemoryRevisions) -> None:
        self._providers: RevisedRecords[IdentityProvider] = RevisedRecords(revisions)

    async def get_all_scheme_names(self) -> list[IdentityProviderName]:
        """See `IdentityProviderStore.get_all_scheme_names`."""
        return [
            IdentityProviderName(scheme=each.scheme, display_name=each.display_name, enabled=each.enabled)
            for each in self._providers.all()
        ]

    async def get_by_scheme(self, scheme: str) -> IdentityProvider | None:
        """See `IdentityProviderStore.get_by_scheme`."""
        return self._providers.get(scheme)

    async def save_identity_provider(self, provider: IdentityProvider, *, expected_revision: int | None = None) -> int:
        """See `IdentityProviderStore.save_identity_provider`."""
        provider = check_identity_provider(provider, expected_revision)
        what = named("identity provider", provider.scheme)
        return self._providers.save(provider.scheme, typed_provider(provider), what, expected_revision)

    async def read_identity_provider(self, scheme: str) -> Revised[IdentityProvider] | None:
        """See `IdentityProviderStore.read_identity_provider`."""
        return self._providers.read(scheme)

    async def delete_identity_provider(self, scheme: str, *, expected_revision: int | None = None) -> bool:
        """See `IdentityProviderStore.delete_identity_provider`."""
        return self._providers.delete(scheme, named("identity provider", scheme), expected_revision)
