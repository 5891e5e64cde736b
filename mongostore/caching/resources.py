"""`ResourceStore` in front of another one: every question is answered from one snapshot of all resources."""

from collections.abc import Awaitable, Iterable

from mongostore.caching.caches import ConfigurationCaches
from mongostore.caching.resources_snapshot import ResourcesSnapshot
from mongostore.models import ApiResource, ApiScope, IdentityResource, Resources
from mongostore.stores.configuration import wanted_names
from mongostore.stores.resources import ResourceStore, enabled_only
from mongostore.stores.revised import Revised


class CachedResourceStore:
    """Serves resources from memory; a write is visible to it at once."""

    def __init__(self, store: ResourceStore, caches: ConfigurationCaches, tenant: str = "default") -> None:
        """Args: the store behind, what keeps the snapshot, and whose resources they are."""
        self._store = store
        self._caches = caches
        self._tenant = tenant

    async def find_identity_resources_by_scope_name(self, names: Iterable[str]) -> list[IdentityResource]:
        """See `ResourceStore.find_identity_resources_by_scope_name`."""
        wanted = wanted_names(names)
        return (await self._snapshot()).identity_resources(wanted) if wanted else []

    async def find_api_scopes_by_name(self, names: Iterable[str]) -> list[ApiScope]:
        """See `ResourceStore.find_api_scopes_by_name`."""
        wanted = wanted_names(names)
        return (await self._snapshot()).api_scopes(wanted) if wanted else []

    async def find_api_resources_by_scope_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_scope_name`."""
        wanted = wanted_names(names)
        return (await self._snapshot()).api_resources_by_scope(wanted) if wanted else []

    async def find_api_resources_by_name(self, names: Iterable[str]) -> list[ApiResource]:
        """See `ResourceStore.find_api_resources_by_name`."""
        wanted = wanted_names(names)
        return (await self._snapshot()).api_resources(wanted) if wanted else []

    async def get_all_resources(self) -> Resources:
        """See `ResourceStore.get_all_resources`."""
        return (await self._snapshot()).everything()

    async def find_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_resources_by_scope`."""
        wanted = wanted_names(names)
        return (await self._snapshot()).by_scope(wanted) if wanted else Resources()

    async def find_enabled_resources_by_scope(self, names: Iterable[str]) -> Resources:
        """See `ResourceStore.find_enabled_resources_by_scope`."""
        return enabled_only(await self.find_resources_by_scope(names))

    async def save_identity_resource(self, resource: IdentityResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_identity_resource`."""
        return await self._changing(self._store.save_identity_resource(resource, expected_revision=expected_revision))

    async def save_api_scope(self, scope: ApiScope, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_scope`."""
        return await self._changing(self._store.save_api_scope(scope, expected_revision=expected_revision))

    async def save_api_resource(self, resource: ApiResource, *, expected_revision: int | None = None) -> int:
        """See `ResourceStore.save_api_resource`."""
        return await self._changing(self._store.save_api_resource(resource, expected_revision=expected_revision))

    async def read_identity_resource(self, name: str) -> Revised[IdentityResource] | None:
        """See `ResourceStore.read_identity_resource`."""
        return await self._store.read_identity_resource(name)

    async def read_api_scope(self, name: str) -> Revised[ApiScope] | None:
        """See `ResourceStore.read_api_scope`."""
        return await self._store.read_api_scope(name)

    async def read_api_resource(self, name: str) -> Revised[ApiResource] | None:
        """See `ResourceStore.read_api_resource`."""
        return await self._store.read_api_resource(name)

    async def delete_identity_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_identity_resource`."""
        deletion = self._store.delete_identity_resource(name, expected_revision=expected_revision)
        return bool(await self._changing(deletion))

    async def delete_api_scope(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_scope`."""
        deletion = self._store.delete_api_scope(name, expected_revision=expected_revision)
        return bool(await self._changing(deletion))

    async def delete_api_resource(self, name: str, *, expected_revision: int | None = None) -> bool:
        """See `ResourceStore.delete_api_resource`."""
        deletion = self._store.delete_api_resource(name, expected_revision=expected_revision)
        return bool(await self._changing(deletion))

    async def _snapshot(self) -> ResourcesSnapshot:
        async def load() -> ResourcesSnapshot:
            return ResourcesSnapshot(await self._store.get_all_resources())

        snapshot = await self._caches.resources.get(self._tenant, load)
        return snapshot or ResourcesSnapshot(Resources())

    async def _changing(self, write: Awaitable[int]) -> int:
        try:
            return await write
        finally:
            # After a failure too: a write that timed out may have happened.
            self._caches.resource_changed(self._tenant)
