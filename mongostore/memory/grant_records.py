"""`GrantRecordStore` without a database."""

from dataclasses import replace
from datetime import datetime, timedelta

from mongostore.errors import AlreadyExists
from mongostore.memory.grant_table import GrantTable
from mongostore.models import PersistedGrant
from mongostore.models.grants import check_grant
from mongostore.models.identifiers import check_identifier, is_identifier
from mongostore.models.instants import cut_to_milliseconds
from mongostore.stores.grant_records import (
    REFRESH,
    GrantRecord,
    GrantRecordStore,
    is_anchored,
    is_issuing,
    is_kept_in_use,
    later,
)


class MemoryGrantRecordStore(GrantRecordStore):
    """Grant records of one tenant in a dictionary."""

    def __init__(self, table: GrantTable) -> None:
        """Args: the rows, shared with `MemoryPersistedGrantStore`."""
        self._table = table

    async def insert(self, record: GrantRecord, *, pending_until: datetime | None = None) -> None:
        """Add a record; see `GrantRecordStore.insert`."""
        check_grant(record.grant)
        if record.grant.key in self._table.rows:
            raise AlreadyExists("a grant with this key exists already; make a new handle")
        pending = pending_until is not None
        anchor = True if is_issuing(record.grant, record.family) and not pending else None
        self._table.put(record, purge_at=pending_until, pending=pending, anchor=anchor)

    async def insert_into_family(self, record: GrantRecord) -> bool:
        """Add a record to a family; see `GrantRecordStore.insert_into_family`."""
        check_grant(record.grant)
        family = check_identifier("family", record.family)
        by_code = record.grant.type == REFRESH
        is_open = (
            self._table.has_anchor(family, by_code=by_code)
            if is_anchored(family)
            else not self._table.is_closed(family)
        )
        if is_open:
            await self.insert(record)
        return is_open

    async def find(self, key: str, *, kept: bool = False) -> GrantRecord | None:
        """Read a record; see `GrantRecordStore.find`."""
        row, now = self._table.row(key), self._table.clock.now()
        if row is None:
            return None
        is_shown = row.is_present(now) or (kept and row.record.grant.consumed_time is not None and row.is_kept(now))
        return row.record if is_shown else None

    async def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """Consume a grant; see `GrantRecordStore.take`."""
        return self._table.take(key, completed=completed)

    async def update(self, grant: PersistedGrant, *, completed: bool = False) -> bool:
        """Change what a live grant says; see `GrantRecordStore.update`."""
        grant = check_grant(grant)
        row = self._table.live(grant.key)
        if row is None or not _is_the_same_kind(row.record.grant, grant):
            return False
        anchor = True if is_kept_in_use(grant, row.record.family) else None
        self._table.put(replace(row.record, grant=grant, completed=completed), anchor=anchor)
        return True

    async def succeed(
        self, record: GrantRecord, *, successor: PersistedGrant, successor_handle: str, grace: timedelta
    ) -> bool:
        """Consume a grant for a successor; see `GrantRecordStore.succeed`."""
        row = self._table.live(record.grant.key)
        if row is None:
            return False
        now = self._table.clock.now()
        linked = replace(
            row.record,
            grant=row.record.grant.model_copy(update={"consumed_time": cut_to_milliseconds(now)}),
            successor_key=successor.key,
            successor_handle=successor_handle,
            successor_expiration=successor.expiration,
        )
        expiration = row.record.grant.expiration
        purge_at = max(expiration, later(now, grace)) if expiration else None
        self._table.put(linked, purge_at=purge_at, anchor=row.anchor)
        return True

    async def make_live(self, key: str) -> bool:
        """Make a pending record visible; see `GrantRecordStore.make_live`."""
        row = self._table.row(key)
        if row is None or not row.is_live(self._table.clock.now()):
            return False
        self._table.put(row.record, anchor=True)
        return True

    async def count_retry(self, key: str) -> int:
        """Count a retry; see `GrantRecordStore.count_retry`."""
        row = self._table.row(key)
        if row is None:
            return 0
        self._table.rows[key] = replace(row, retries=row.retries + 1)
        return row.retries + 1

    async def discard_pending(self, key: str) -> None:
        """Remove a record that never became live."""
        row = self._table.row(key)
        if row is not None and row.pending:
            del self._table.rows[key]

    async def remove_family(self, family: str, *, last: str | None = None) -> int:  # noqa: ARG002 - all go at once
        """Close a family and remove it; see `GrantRecordStore.remove_family`."""
        if not is_identifier(family):
            return 0
        if not is_anchored(family):
            self._table.close(family)
        keys = [key for key, row in self._table.rows.items() if row.record.family == family]
        for key in keys:
            del self._table.rows[key]
        return len(keys)


def _is_the_same_kind(one: PersistedGrant, other: PersistedGrant) -> bool:
    return (one.type, one.client_id) == (other.type, other.client_id)
