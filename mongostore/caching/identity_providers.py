"""`IdentityProviderStore` in front of another one, from memory where it can."""

from mongostore.caching.caches import ConfigurationCaches
from mongostore.caching.copies import own_copy
from mongostore.models import IdentityProvider, IdentityProviderName
from mongostore.models.identifiers import is_identifier
from mongostore.stores.identity_providers import IdentityProviderStore
from mongostore.stores.revised import Revised


class CachedIdentityProviderStore:
    """Serves providers and their names from memory; a write is visible to it at once."""

    def __init__(self, store: IdentityProviderStore, caches: ConfigurationCaches, tenant: str = "default") -> None:
        """Args: the store behind, what keeps the providers, and whose they are."""
        self._store = store
        self._caches = caches
        self._tenant = tenant

    async def get_all_scheme_names(self) -> list[IdentityProviderName]:
        """See `IdentityProviderStore.get_all_scheme_names`."""
        names = await self._caches.scheme_names.get(self._tenant, self._store.get_all_scheme_names)
        return list(names or ())

    async def get_by_scheme(self, scheme: str) -> IdentityProvider | None:
        """See `IdentityProviderStore.get_by_scheme`."""
        if not is_identifier(scheme):
            return None
        provider = await self._caches.identity_providers.get(
            (self._tenant, scheme), lambda: self._store.get_by_scheme(scheme)
        )
        return None if provider is None else own_copy(provider)

    async def save_identity_provider(self, provider: IdentityProvider, *, expected_revision: int | None = None) -> int:
        """See `IdentityProviderStore.save_identity_provider`."""
        try:
            return await self._store.save_identity_provider(provider, expected_revision=expected_revision)
        finally:
            # After a failure too: a write that timed out may have happened.
            scheme = getattr(provider, "scheme", None)
            if is_identifier(scheme):
                self._caches.identity_provider_changed(self._tenant, str(scheme))

    async def read_identity_provider(self, scheme: str) -> Revised[IdentityProvider] | None:
        """See `IdentityProviderStore.read_identity_provider`."""
        return await self._store.read_identity_provider(scheme)

    async def delete_identity_provider(self, scheme: str, *, expected_revision: int | None = None) -> bool:
        """See `IdentityProviderStore.delete_identity_provider`."""
        try:
            return await self._store.delete_identity_provider(scheme, expected_revision=expected_revision)
        finally:
            # After a failure too: a deletion that timed out may have happened.
            if is_identifier(scheme):
                self._caches.identity_provider_changed(self._tenant, scheme)
