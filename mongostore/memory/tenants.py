"""`TenantRegistry` without a database."""

from dataclasses import replace
from secrets import token_hex

from mongostore.stores.tenants import TenantEntry, TenantRegistry
from mongostore.tenancy import Tenant


class MemoryTenantRegistry(TenantRegistry):
    """The tenants of a `MemoryStore`. No method suspends, so each is atomic."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tenants: dict[Tenant, TenantEntry] = {}

    async def register(self, tenant: Tenant) -> bool:
        if tenant in self._tenants:
            return False
        self._tenants[tenant] = TenantEntry(token_hex(8), is_leaving=False)
        return True

    async def find(self, tenant: Tenant) -> TenantEntry | None:
        return self._tenants.get(tenant)

    async def registered(self) -> list[Tenant]:
        return sorted(self._tenants)

    async def begin_deletion(self, tenant: Tenant) -> bool:
        entry = self._tenants.get(tenant)
        if entry is None:
            return False
        self._tenants[tenant] = replace(entry, is_leaving=True)
        return True

    async def strike(self, tenant: Tenant) -> bool:
        entry = self._tenants.get(tenant)
        if entry is None or not entry.is_leaving:
            return False
        del self._tenants[tenant]
        return True
