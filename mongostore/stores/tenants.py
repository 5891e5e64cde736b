"""Which tenants there are."""

from dataclasses import dataclass
from typing import Protocol

from mongostore.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class TenantEntry:
    """A tenant as it is on the list.

    Attributes:
        incarnation: a random name that is made when the tenant is entered, so that a node can tell a slug's next owner from
            its last one; "" for tenants that an earlier version entered.
        is_leaving: whether its deletion has begun: nothing may be written for it any more.
    """

    incarnation: str
    is_leaving: bool


class TenantRegistry(Protocol):
    """The list of tenants of a deployment. The tenant `default` is always admitted and need not be in it.

    All methods raise `StorageUnavailable` when the database does not answer.
    """

    async def register(self, tenant: Tenant) -> bool:
        """Enter a tenant: True for the first of any number of callers, False when it is there already."""

    async def find(self, tenant: Tenant) -> TenantEntry | None:
        """A tenant's entry, or None."""

    async def registered(self) -> list[Tenant]:
        """Every tenant that is entered, in ascending order; those whose deletion has begun among them."""

    async def begin_deletion(self, tenant: Tenant) -> bool:
        """Mark a tenant as leaving, by one conditional write; it may be repeated. True when it is on the list."""

    async def strike(self, tenant: Tenant) -> bool:
        """Take a leaving tenant off the list: True when it was on it."""
