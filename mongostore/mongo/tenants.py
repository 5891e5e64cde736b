"""`TenantRegistry` on MongoDB, and the removal of all that a tenant has."""

from collections.abc import Callable
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import StoredFields, record_id
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.documents.tenants import TenantFields
from mongostore.tenancy import Tenant

# What outlives a tenant's data: its keys until they are destroyed, so that the tombstones stay; and who may work on it.
_KEPT: frozenset[type[StoredFields]] = frozenset({DataKeyFields, LeaseFields, TenantFields})
_BATCH_SIZE = 1_000


class MongoTenantRegistry:
    """The tenants of a deployment, in the store's own database."""

    def __init__(self, binding: Binding, clock: Clock) -> None:
        """Args: the store's own database, and the time."""
        self._binding = binding
        self._clock = clock

    async def register(self, tenant: Tenant) -> bool:
        """See `TenantRegistry.register`."""
        document = {"_id": tenant, "tenant": tenant, "created": self._clock.now()}
        with self._binding.call("register a tenant") as own:
            try:
                await self._tenants.insert_one(document, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def is_registered(self, tenant: Tenant) -> bool:
        """See `TenantRegistry.is_registered`."""
        with self._binding.call("look a tenant up") as own:
            return await self._tenants.find_one({"_id": tenant}, projection={"_id": 1}, session=own) is not None

    async def registered(self) -> list[Tenant]:
        """See `TenantRegistry.registered`."""
        with self._binding.call("list the tenants") as own:
            found = (
                await self._tenants.find({}, projection={"_id": 1}, session=own)
                .sort("_id", ASCENDING)
                .hint("_id_")
                .to_list()
            )
        return [Tenant(document["_id"]) for document in found]

    async def strike(self, tenant: Tenant) -> bool:
        """See `TenantRegistry.strike`."""
        with self._binding.call("strike a tenant off") as own:
            return (await self._tenants.delete_one({"_id": tenant}, session=own)).deleted_count == 1

    @property
    def _tenants(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(TenantFields)


async def remove_records(binding: Binding, tenant: Tenant, on_progress: Callable[[str, int], None]) -> int:
    """Remove every record of a tenant from a shared database, in batches, and give their number.

    Args:
        binding: the database.
        tenant: whose records; keys stay, see `key_ring.destroy`.
        on_progress: is told the collection and how many records went from it so far, after each batch.
    """
    # Every `_id` of the tenant, and none of another's: no slug holds `|`, and `}` is the character behind it.
    of_tenant = {"_id": {"$gte": record_id(tenant, ""), "$lt": f"{tenant}" + "}"}}
    removed = 0
    for fields in binding.nouns:
        if fields not in _KEPT:
            removed += await _remove_from(binding, fields, of_tenant, on_progress)
    return removed


async def _remove_from(
    binding: Binding, fields: type[StoredFields], condition: dict[str, Any], on_progress: Callable[[str, int], None]
) -> int:
    collection = binding.collection(fields)
    removed = 0
    while True:
        with binding.call("remove the records of a tenant") as own:
            batch = (
                await collection.find(condition, projection={"_id": 1}, session=own)
                .sort("_id")
                .limit(_BATCH_SIZE)
                .to_list()
            )
            if not batch:
                return removed
            result = await collection.delete_many(
                {"_id": {"$in": [document["_id"] for document in batch]}}, session=own
            )
        removed += result.deleted_count
        on_progress(fields.label, removed)


async def drop_database(binding: Binding) -> None:
    """Drop the database of a tenant that has one of its own."""
    with binding.call("drop the database of a tenant") as own:
        await binding.connection.client.drop_database(binding.database_name, session=own)
