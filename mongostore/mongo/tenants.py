"""`TenantRegistry` on MongoDB, and the removal of a tenant's records from databases that others share."""

from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import StoredFields
from mongostore.mongo.documents.configuration import tenant_ids
from mongostore.mongo.documents.data_keys import DataKeyFields
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.mongo.documents.tenants import TenantFields
from mongostore.stores.tenants import TenantEntry, TenantRegistry
from mongostore.tenancy import Tenant

# What is not removed with a tenant's data: its keys until they are destroyed, so that the tombstones stay; the list itself;
# and leases, which go by `remove_leases`.
_KEPT: frozenset[type[StoredFields]] = frozenset({DataKeyFields, LeaseFields, TenantFields})
_BATCH_SIZE = 1_000


class MongoTenantRegistry(TenantRegistry):
    """The tenants of a deployment, in the store's own database."""

    def __init__(self, binding: Binding, clock: Clock) -> None:
        """Args: the store's own database, and the time."""
        self._binding = binding
        self._clock = clock

    async def register(self, tenant: Tenant) -> bool:
        document = {"_id": tenant, "tenant": tenant, "created": self._clock.now(), "incarnation": token_hex(8)}
        with self._binding.call("register a tenant") as own:
            try:
                await self._tenants.insert_one(document, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def find(self, tenant: Tenant) -> TenantEntry | None:
        with self._binding.call("look a tenant up") as own:
            found = await self._tenants.find_one(
                {"_id": tenant}, projection={"incarnation": 1, "leaving_since": 1}, session=own
            )
        if found is None:
            return None
        return TenantEntry(str(found.get("incarnation") or ""), found.get("leaving_since") is not None)

    async def registered(self) -> list[Tenant]:
        with self._binding.call("list the tenants") as own:
            found = (
                await self._tenants.find({}, projection={"_id": 1}, session=own)
                .sort("_id", ASCENDING)
                .hint("_id_")
                .to_list()
            )
        return [Tenant(document["_id"]) for document in found]

    async def begin_deletion(self, tenant: Tenant) -> bool:
        change = {"$min": {"leaving_since": self._clock.now()}}
        with self._binding.call("mark a tenant as leaving") as own:
            return (await self._tenants.update_one({"_id": tenant}, change, session=own)).matched_count == 1

    async def strike(self, tenant: Tenant) -> bool:
        leaving = {"_id": tenant, "leaving_since": {"$exists": True}}
        with self._binding.call("strike a tenant off") as own:
            return (await self._tenants.delete_one(leaving, session=own)).deleted_count == 1

    @property
    def _tenants(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(TenantFields)


async def remove_records(
    binding: Binding,
    tenant: Tenant,
    on_progress: Callable[[str, int], None],
    nouns: Iterable[type[StoredFields]] | None = None,
) -> int:
    """Remove every record of a tenant from a database, in batches, and give their number.

    Args:
        binding: the database.
        tenant: whose records; keys stay, see `key_ring.destroy`.
        on_progress: is told the collection and how many records went from it so far, after each batch.
        nouns: the fields of the collections; all of the database's if not given.
    """
    removed = 0
    for fields in binding.nouns if nouns is None else nouns:
        if fields not in _KEPT:
            removed += await _remove_from(binding, fields, tenant_ids(tenant), on_progress)
    return removed


async def remove_leases(main: Binding, tenant: Tenant) -> None:
    """Remove the leases of the jobs that were done for a tenant, once nobody does them any more."""
    with main.call("remove the leases of a tenant") as own:
        await main.collection(LeaseFields).delete_many({"_id": tenant_ids(tenant)}, session=own)


async def _remove_from(
    binding: Binding, fields: type[StoredFields], ids: dict[str, str], on_progress: Callable[[str, int], None]
) -> int:
    collection = binding.collection(fields)
    removed = 0
    while True:
        with binding.call("remove the records of a tenant") as own:
            batch = (
                await collection.find({"_id": ids}, projection={"_id": 1}, session=own)
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
