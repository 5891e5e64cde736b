"""`TenantRegistry` without a database."""

from mongostore.tenancy import Tenant


class MemoryTenantRegistry:
    """The tenants of a `MemoryStore`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tenants: set[Tenant] = set()

    async def register(self, tenant: Tenant) -> bool:
        """See `TenantRegistry.register`."""
        is_new = tenant not in self._tenants
        self._tenants.add(tenant)
        return is_new

    async def is_registered(self, tenant: Tenant) -> bool:
        """See `TenantRegistry.is_registered`."""
        return tenant in self._tenants

    async def registered(self) -> list[Tenant]:
        """See `TenantRegistry.registered`."""
        return sorted(self._tenants)

    async def strike(self, tenant: Tenant) -> bool:
        """See `TenantRegistry.strike`."""
        was_there = tenant in self._tenants
        self._tenants.discard(tenant)
        return was_there
