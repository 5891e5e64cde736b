"""`PersistedGrantStore` without a database."""

from dataclasses import replace
from datetime import datetime

from mongostore.memory.grant_table import GrantTable
from mongostore.models import PersistedGrant, PersistedGrantFilter
from mongostore.models.grants import check_filter, check_grant
from mongostore.models.identifiers import is_identifier
from mongostore.stores.arguments import check_instant
from mongostore.stores.grant_records import GrantRecord, is_anchored, removed_types
from mongostore.stores.persisted_grants import PersistedGrantStore


class MemoryPersistedGrantStore(PersistedGrantStore):
    """Grants of one tenant in a dictionary."""

    def __init__(self, table: GrantTable) -> None:
        """Args: the rows, shared with `MemoryGrantRecordStore`."""
        self._table = table

    async def store(self, grant: PersistedGrant) -> None:
        """See `PersistedGrantStore.store`."""
        grant = check_grant(grant)
        self._table.put(GrantRecord(grant))

    async def get(self, key: str) -> PersistedGrant | None:
        """See `PersistedGrantStore.get`."""
        row = self._table.row(key)
        return row.record.grant if row and row.is_present(self._table.clock.now()) else None

    async def get_all(self, filter: PersistedGrantFilter) -> list[PersistedGrant]:  # noqa: A002 - the reference's name
        """See `PersistedGrantStore.get_all`."""
        wanted = check_filter(filter)
        now = self._table.clock.now()
        rows = self._table.rows.values()
        return [row.record.grant for row in rows if row.is_present(now) and wanted.matches(row.record.grant)]

    async def remove(self, key: str) -> bool:
        """See `PersistedGrantStore.remove`."""
        return is_identifier(key) and self._table.rows.pop(key, None) is not None

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - the reference's name
        """See `PersistedGrantStore.remove_all`."""
        wanted = check_filter(filter)
        closed, released = removed_types(wanted)
        of_any_type = wanted.model_copy(update={"type": None, "types": None})
        for key, row in self._table.rows.items():
            if row.anchor and row.record.grant.type in released and of_any_type.matches(row.record.grant):
                self._table.rows[key] = replace(row, anchor=None)
        keys = [key for key, row in self._table.rows.items() if wanted.matches(row.record.grant)]
        for key in keys:
            record = self._table.rows.pop(key).record
            # A family that the caller has named needs no anchor, and would take in what is being issued.
            if record.family is not None and record.grant.type in closed and not is_anchored(record.family):
                self._table.close(record.family)
        return len(keys)

    async def remove_created_before(self, instant: datetime) -> int:
        """Remove grants of before an instant; see `PersistedGrantStore.remove_created_before`."""
        instant = check_instant("instant", instant)
        keys = [key for key, row in self._table.rows.items() if row.record.grant.creation_time < instant]
        for key in keys:
            del self._table.rows[key]
        return len(keys)

    async def consume(self, key: str) -> PersistedGrant | None:
        """See `PersistedGrantStore.consume`."""
        taken = self._table.take(key)
        return taken.grant if taken else None
