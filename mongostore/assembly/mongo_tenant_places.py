"""Where tenants' data lie on MongoDB."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from mongostore.assembly.tenants import OnProgress, TenantPlaces
from mongostore.clock import Clock
from mongostore.mongo.databases import CONFIGURATION, Databases
from mongostore.mongo.leases import Leases
from mongostore.mongo.tenant_databases import TenantDatabase
from mongostore.mongo.tenants import remove_leases, remove_records
from mongostore.schema import apply_schema
from mongostore.tenancy import DEFAULT_TENANT, Tenant

_LEASE_DURATION = timedelta(seconds=30)
# A deletion may take longer, but then tells whoever waits for it to come back.
_LONGEST_WAIT = timedelta(minutes=1)


class MongoTenantPlaces(TenantPlaces):
    """Databases that tenants share, or have to themselves."""

    def __init__(self, databases: Databases, clock: Clock) -> None:
        """Args: the databases of the deployment, and the time."""
        self._databases = databases
        self._clock = clock

    def locate(self, tenant: Tenant) -> object:
        return self._databases.operational(tenant)

    def exclusively(self, tenant: Tenant) -> AbstractAsyncContextManager[object]:
        # Under the default tenant: what the tenant's own leases are for ends with it.
        leases = Leases(self._databases.main, DEFAULT_TENANT)
        return leases.hold(f"tenant {tenant}", _LEASE_DURATION, _LONGEST_WAIT)

    async def prepare(self, tenant: Tenant, *, is_new: bool) -> None:
        own = self._databases.owned(tenant)
        if own is not None:
            await self._database(tenant).claim(is_new=is_new)
            await apply_schema(own, main=self._databases.main)

    async def require_removable(self, tenant: Tenant) -> None:
        if self._databases.owned(tenant) is not None:
            await self._database(tenant).require_droppable()

    async def remove_records(self, tenant: Tenant, on_progress: OnProgress) -> int:
        own = self._databases.owned(tenant)
        removed = 0
        for binding in dict.fromkeys((self._databases.operational(tenant), self._databases.configuration(tenant))):
            if binding is not own:
                removed += await remove_records(binding, tenant, on_progress)
            else:
                # The rest goes with the database. Of these, other nodes must hear early: they are cached.
                cached = [fields for fields in binding.nouns if fields in CONFIGURATION]
                await remove_records(binding, tenant, lambda _label, _removed: None, cached)
        return removed

    async def drop(self, tenant: Tenant) -> None:
        if self._databases.owned(tenant) is not None:
            await self._database(tenant).drop()
        await remove_leases(self._databases.main, tenant)

    def _database(self, tenant: Tenant) -> TenantDatabase:
        databases = self._databases
        return TenantDatabase(
            databases.operational(tenant), tenant, main=databases.main.database_name, clock=self._clock
        )
