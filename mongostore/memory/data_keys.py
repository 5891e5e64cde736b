"""The key ring's records in a dict."""

from dataclasses import replace
from datetime import datetime

from mongostore.stores.data_keys import DataKeyRecord


class MemoryDataKeyStore:
    """A `DataKeyStore` that forgets everything with the process. No method suspends, so each is atomic."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, int], DataKeyRecord] = {}

    async def load(self, tenant: str) -> list[DataKeyRecord]:
        """See `DataKeyStore.load`."""
        found = [record for record in self._records.values() if record.tenant == tenant]
        return sorted(found, key=lambda record: record.generation)

    async def insert(self, record: DataKeyRecord) -> bool:
        """See `DataKeyStore.insert`."""
        place = (record.tenant, record.generation)
        if place in self._records:
            return False
        self._records[place] = record
        return True

    async def replace_wrapped(self, record: DataKeyRecord, expected: DataKeyRecord) -> bool:
        """See `DataKeyStore.replace_wrapped`."""
        place = (record.tenant, record.generation)
        if record.wrapped is None or self._records.get(place) != expected or expected.is_destroyed:
            return False
        self._records[place] = replace(
            expected,
            wrapped=record.wrapped,
            master_key_id=record.master_key_id,
            opens_only=record.opens_only,
            context_version=record.context_version,
        )
        return True

    async def destroy(self, tenant: str, at: datetime) -> int:
        """See `DataKeyStore.destroy`."""
        live = [record for record in await self.load(tenant) if record.wrapped is not None]
        for record in live:
            self._records[tenant, record.generation] = replace(record, wrapped=None, destroyed_at=at)
        return len(live)

    async def tenants(self) -> list[str]:
        """See `DataKeyStore.tenants`."""
        return sorted({tenant for tenant, _ in self._records})
