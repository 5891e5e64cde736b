"""Which tenants there are."""

from typing import Protocol

from mongostore.tenancy import Tenant


class TenantRegistry(Protocol):
    """The list of tenants of a deployment. The tenant `default` is always admitted and need not be in it."""

    async def register(self, tenant: Tenant) -> bool:
        """Enter a tenant: True for the first of any number of callers, False when it is there already."""

    async def is_registered(self, tenant: Tenant) -> bool:
        """Whether a tenant is entered."""

    async def registered(self) -> list[Tenant]:
        """Every tenant that is entered, in ascending order."""

    async def strike(self, tenant: Tenant) -> bool:
        """Take a tenant off the list: True when it was on it."""
