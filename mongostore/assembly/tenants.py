"""`store.tenants`: who is there, who comes, and who goes with all that they had."""

import builtins
from collections.abc import Awaitable, Callable

from mongostore.assembly.admission import Admission
from mongostore.stores.tenants import TenantRegistry
from mongostore.tenancy import DEFAULT_TENANT, Tenant
from mongostore.tenancy import tenant as checked_tenant

OnProgress = Callable[[str, int], None]
"""Is told the collection, and how many records went from it so far."""


class Tenants:
    """Looks after the tenants of a deployment. The tenant `default` is always there and is not in the list."""

    def __init__(
        self,
        registry: TenantRegistry,
        locate: Callable[[Tenant], object],
        prepare: Callable[[Tenant], Awaitable[object]],
        remove: Callable[[Tenant, OnProgress], Awaitable[int]],
        admission: Admission,
    ) -> None:
        """Make no I/O.

        Args:
            registry: the list of tenants.
            locate: raises `ValueError` for a tenant that can have no place.
            prepare: makes room for a tenant.
            remove: removes a tenant's records.
            admission: remembers who is on the list.
        """
        self._registry = registry
        self._locate = locate
        self._prepare = prepare
        self._remove = remove
        self._admission = admission

    async def create(self, slug: str) -> bool:
        """Register a tenant, and prepare its database when it has one of its own. Doing it again does no harm.

        Returns:
            True when it is new, False when it was there already.

        Raises:
            TypeError, ValueError: it is no slug, or its database's name would be too long or is taken.
            StorageUnavailable: MongoDB did not answer; create it again.
        """
        tenant = checked_tenant(slug)
        self._locate(tenant)
        await self._prepare(tenant)
        return await self._registry.register(tenant)

    async def list(self) -> builtins.list[Tenant]:
        """Every registered tenant, in ascending order."""
        return await self._registry.registered()

    async def delete(self, slug: str, *, on_progress: OnProgress | None = None) -> int:
        """Remove all that a tenant has: its database, or its records in the shared ones. Doing it again does no harm.

        Its data keys stay, so that nothing is sealed anew by a node that has not heard of it: `key_ring.destroy` them to
        make what backups hold of the tenant unreadable. Other nodes may still write for it for a minute when tenants
        come into being by their first write; delete it once more then.

        Args:
            slug: the tenant.
            on_progress: is told the collection and the number of records gone from it, after every batch.

        Returns:
            How many records were removed; 0 for a database that was dropped whole.

        Raises:
            TypeError, ValueError: it is no slug, or the tenant `default`; or its database would be one that has another
                purpose.
            StorageUnavailable: MongoDB did not answer; what is gone stays gone, delete it again.
        """
        tenant = checked_tenant(slug)
        if tenant == DEFAULT_TENANT:
            raise ValueError("the tenant 'default' can't be deleted: it is what a deployment without tenants uses")
        self._locate(tenant)
        await self._registry.strike(tenant)
        self._admission.forget(tenant)
        return await self._remove(tenant, on_progress or _nobody)


def _nobody(_collection: str, _removed: int) -> None:
    """Nobody wants to know."""
