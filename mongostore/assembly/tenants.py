"""`store.tenants`: who is there, who comes, and who goes with all that they had."""

import asyncio
import builtins
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mongostore.assembly.admission import Admission
from mongostore.errors import AlreadyExists
from mongostore.stores.arguments import check_callback
from mongostore.stores.tenants import TenantRegistry
from mongostore.tenancy import DEFAULT_TENANT, Tenant
from mongostore.tenancy import tenant as checked_tenant

OnProgress = Callable[[str, int], None]
"""Is told the collection, and how many records went from it so far."""


class TenantPlaces(Protocol):
    """Where tenants' data lie: made ready for those who come, and cleared of those who go."""

    def locate(self, tenant: Tenant) -> object:
        """Find a tenant's place. Raises `ValueError` when it can have none."""

    def exclusively(self, tenant: Tenant) -> AbstractAsyncContextManager[object]:
        """Run the block while nobody else creates or deletes the tenant. Raises `StorageUnavailable` when they don't end."""

    async def prepare(self, tenant: Tenant, *, is_new: bool) -> None:
        """Make room for a tenant. Raises `ConfigurationError` when a new one's database is somebody else's."""

    async def require_removable(self, tenant: Tenant) -> None:
        """Raise `ConfigurationError` when it is not certain that the tenant's database is its alone."""

    async def remove_records(self, tenant: Tenant, on_progress: OnProgress) -> int:
        """Remove a tenant's records from shared places: how many. It may be repeated."""

    async def drop(self, tenant: Tenant) -> None:
        """Drop the database that is the tenant's alone, if there is one. It may be repeated."""


class Tenants:
    """Looks after the tenants of a deployment. The tenant `default` is always there and is not in the list."""

    def __init__(self, registry: TenantRegistry, places: TenantPlaces, admission: Admission) -> None:
        """Args: the list of tenants; where their data lie; what lets nodes write for them. Does no I/O."""
        self._registry = registry
        self._places = places
        self._admission = admission

    async def create(self, slug: str) -> bool:
        """Register a tenant, and prepare its database when it has one of its own. Doing it again does no harm.

        Returns:
            True when it is new, False when it was there already.

        Raises:
            TypeError, ValueError: it is no slug, or its database's name would be too long or is taken.
            AlreadyExists: it is being deleted.
            ConfigurationError: its database exists, and was not made for it.
            StorageUnavailable: MongoDB did not answer; create it again.
        """
        tenant = checked_tenant(slug)
        self._places.locate(tenant)
        if tenant == DEFAULT_TENANT:
            await self._places.prepare(tenant, is_new=False)
            return False
        # Before waiting for a deletion to end, too.
        await self._is_registered(tenant)
        async with self._places.exclusively(tenant):
            is_new = not await self._is_registered(tenant)
            await self._places.prepare(tenant, is_new=is_new)
            return is_new and await self._registry.register(tenant)

    async def list(self) -> builtins.list[Tenant]:
        """Every registered tenant, in ascending order, those that are being deleted among them."""
        return await self._registry.registered()

    async def delete(self, slug: str, *, on_progress: OnProgress | None = None) -> int:
        """Remove all that a tenant has: its database, or its records in the shared ones. Doing it again does no harm.

        First the tenant is marked as leaving, so that no node writes for it. Once that is certain on every node (two seconds
        more than the operation time limit), its data are removed for good, and last it is struck off the list. Afterwards
        the slug may have another owner, who finds nothing of this one. Until then, and when the deletion was cut off or
        refused, the tenant is in the list, and nothing can be written for it: delete it again.

        Its data keys stay: `key_ring.destroy` them to make what backups hold of the tenant unreadable.

        Args:
            slug: the tenant. If it is not registered, what is left of it in shared databases is removed, and no database is
                dropped.
            on_progress: is told the collection and the number of records gone from it, after every batch.

        Returns:
            How many records were removed; 0 for a database that was dropped whole.

        Raises:
            TypeError, ValueError: it is no slug, or the tenant `default`; or its database would be one that has another
                purpose.
            ConfigurationError: its database is not marked as the tenant's, or holds something else; nothing was done.
            StorageUnavailable: MongoDB did not answer, or refused to drop the database; what is gone stays gone, delete it
                again.
        """
        tenant = checked_tenant(slug)
        check_callback("on_progress", on_progress, optional=True)
        if tenant == DEFAULT_TENANT:
            raise ValueError("the tenant 'default' can't be deleted: it is what a deployment without tenants uses")
        self._places.locate(tenant)
        progress = on_progress or _ignore_progress
        async with self._places.exclusively(tenant):
            if await self._registry.find(tenant) is None:
                return await self._places.remove_records(tenant, progress)
            await self._places.require_removable(tenant)
            await self._registry.begin_deletion(tenant)
            settled = asyncio.get_running_loop().time() + self._admission.settling_time
            self._admission.forget(tenant)
            # Now, so that other nodes have heard of it and dropped what they cached by the time that this ends.
            removed = await self._places.remove_records(tenant, progress)
            await asyncio.sleep(settled - asyncio.get_running_loop().time())
            while batch := await self._places.remove_records(tenant, progress):
                removed += batch
            await self._places.drop(tenant)
            await self._registry.strike(tenant)
            self._admission.forget(tenant)
        return removed

    async def _is_registered(self, tenant: Tenant) -> bool:
        entry = await self._registry.find(tenant)
        if entry is not None and entry.is_leaving:
            raise AlreadyExists(
                f"the tenant {tenant!r} is being deleted: create it when store.tenants.delete({tenant!r}) has returned; "
                "if that was cut off, repeat it first"
            )
        return entry is not None


def _ignore_progress(_collection: str, _removed: int) -> None:
    """Default progress callback: does nothing."""
