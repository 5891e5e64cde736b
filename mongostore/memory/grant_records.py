"""`GrantRecordStore` without a database."""

from dataclasses import replace
from datetime import datetime

from mongostore.errors import AlreadyExists
from mongostore.memory.grant_table import GrantTable
from mongostore.models import PersistedGrant
from mongostore.models.grants import check_grant
from mongostore.models.identifiers import is_identifier
from mongostore.stores.grant_records import GrantRecord


class MemoryGrantRecordStore:
    """Grant records of one tenant in a dictionary."""

    def __init__(self, table: GrantTable) -> None:
        """Args: the rows, shared with `MemoryPersistedGrantStore`."""
        self._table = table

    async def insert(self, record: GrantRecord, *, pending_until: datetime | None = None) -> None:
        """See `GrantRecordStore.insert`."""
        check_grant(record.grant)
        if record.grant.key in self._table.rows:
            raise AlreadyExists("a grant with this key exists already; make a new handle")
        self._table.put(record, purge_at=pending_until, pending=pending_until is not None)

    async def insert_into_family(self, record: GrantRecord) -> bool:
        """See `GrantRecordStore.insert_into_family`."""
        if self._table.is_closed(record.family or ""):
            check_grant(record.grant)
            return False
        await self.insert(record)
        return True

    async def close_family(self, family: str) -> None:
        """See `GrantRecordStore.close_family`."""
        self._table.close(family)

    async def find(self, key: str) -> GrantRecord | None:
        """See `GrantRecordStore.find`."""
        row = self._table.row(key)
        return row.record if row and row.is_present(self._table.clock.now()) else None

    async def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """See `GrantRecordStore.take`."""
        return self._table.take(key, completed=completed)

    async def update(self, grant: PersistedGrant, *, completed: bool = False) -> bool:
        """See `GrantRecordStore.update`."""
        check_grant(grant)
        row = self._table.live(grant.key)
        if row is None or not _is_the_same_kind(row.record.grant, grant):
            return False
        self._table.put(replace(row.record, grant=grant, completed=completed))
        return True

    async def succeed(self, key: str, *, successor_key: str, successor_handle: str) -> bool:
        """See `GrantRecordStore.succeed`."""
        row = self._table.live(key)
        if row is None:
            return False
        consumed = row.record.grant.model_copy(update={"consumed_time": self._table.clock.now()})
        linked = replace(row.record, grant=consumed, successor_key=successor_key, successor_handle=successor_handle)
        self._table.put(linked, purge_at=row.purge_at)
        return True

    async def make_live(self, key: str) -> bool:
        """See `GrantRecordStore.make_live`."""
        row = self._table.row(key)
        if row is None or not row.is_live(self._table.clock.now()):
            return False
        self._table.put(row.record)
        return True

    async def discard_pending(self, key: str) -> None:
        """See `GrantRecordStore.discard_pending`."""
        row = self._table.row(key)
        if row is not None and row.pending:
            del self._table.rows[key]

    async def remove_family(self, family: str) -> int:
        """See `GrantRecordStore.remove_family`."""
        if not is_identifier(family):
            return 0
        keys = [key for key, row in self._table.rows.items() if row.record.family == family]
        for key in keys:
            del self._table.rows[key]
        return len(keys)


def _is_the_same_kind(one: PersistedGrant, other: PersistedGrant) -> bool:
    return (one.type, one.client_id) == (other.type, other.client_id)
