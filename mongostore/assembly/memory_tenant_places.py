"""Where tenants' data lie in memory."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

from mongostore.assembly.tenants import OnProgress, TenantPlaces
from mongostore.tenancy import Placement, Tenant

# As on MongoDB, so that a progress bar that was tried here shows the same there.
_BATCH_SIZE = 1_000


class MemoryTenantPlaces(TenantPlaces):
    """Dictionaries of each tenant, made at its first use."""

    def __init__(self, placement: Placement, take_away: Callable[[Tenant], Mapping[str, int]]) -> None:
        """Make the places.

        Args:
            placement: says which slugs could have no place on MongoDB.
            take_away: empties a tenant's place; gives the number of records that were there, by collection.
        """
        self._placement = placement
        self._take_away = take_away

    def locate(self, tenant: Tenant) -> object:
        return self._placement.database("", tenant)

    def exclusively(self, tenant: Tenant) -> AbstractAsyncContextManager[object]:  # noqa: ARG002 - nothing here suspends
        return nullcontext()

    async def prepare(self, tenant: Tenant, *, is_new: bool) -> None:
        pass

    async def require_removable(self, tenant: Tenant) -> None:
        pass

    async def remove_records(self, tenant: Tenant, on_progress: OnProgress) -> int:
        removed = self._take_away(tenant)
        for label, count in removed.items():
            for so_far in range(0, count, _BATCH_SIZE):
                on_progress(label, min(so_far + _BATCH_SIZE, count))
        return sum(removed.values())

    async def drop(self, tenant: Tenant) -> None:
        pass
