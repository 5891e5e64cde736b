"""`ReplayCache` without a database."""

from datetime import datetime

from mongostore.clock import Clock
from mongostore.memory.expiring_table import ExpiringTable
from mongostore.models.identifiers import check_identifier, is_identifier
from mongostore.stores.handles import check_handle, hashed, is_handle
from mongostore.stores.replay import remembered_until


class MemoryReplayCache:
    """The handles that one tenant has seen, in a dictionary."""

    def __init__(self, clock: Clock) -> None:
        """Args: the time."""
        self._table: ExpiringTable[bool] = ExpiringTable(clock)

    async def add(self, purpose: str, handle: str, expires_at: datetime) -> bool:
        """See `ReplayCache.add`."""
        key = hashed(check_identifier("purpose", purpose), check_handle("handle", handle))
        return self._table.insert_over_expired(key, True, remembered_until(expires_at, self._table.clock.now()))

    async def exists(self, purpose: str, handle: str) -> bool:
        """See `ReplayCache.exists`."""
        if not (is_handle("handle", handle) and is_identifier(purpose)):
            return False
        return self._table.find(hashed(purpose, handle)) is not None
