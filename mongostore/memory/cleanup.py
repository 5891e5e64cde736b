"""`CleanupRecords` without a database."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mongostore.memory.device_codes import MemoryDeviceFlowStore
from mongostore.memory.grant_table import GrantTable
from mongostore.memory.pushed_requests import MemoryPushedAuthorizationRequestStore
from mongostore.models import DeviceCode, PersistedGrant
from mongostore.stores.cleanup import CleanupStep
from mongostore.stores.device_codes import LABEL
from mongostore.stores.payloads import value_of


class MemoryCleanupRecords:
    """What one tenant has in dictionaries and nobody is served by."""

    def __init__(
        self,
        grants: GrantTable,
        device_flow: MemoryDeviceFlowStore,
        pushed_requests: MemoryPushedAuthorizationRequestStore,
    ) -> None:
        """Args: where the records lie."""
        self._grants = grants
        self._device_codes = device_flow.table
        self._pushed_requests = pushed_requests.table

    async def due(self, step: CleanupStep, before: datetime, batch_size: int) -> AsyncGenerator[list[str], None]:
        """See `CleanupRecords.due`."""
        while True:
            due = self._due(step, before)
            ids = sorted(due, key=due.__getitem__)[:batch_size]
            if ids:
                yield ids
            if len(ids) < batch_size:
                return

    async def read(
        self, step: CleanupStep, ids: Sequence[str], before: datetime
    ) -> Sequence[PersistedGrant] | Sequence[DeviceCode]:
        """See `CleanupRecords.read`."""
        due = self._due(step, before)
        present = [key for key in ids if key in due]
        if step is CleanupStep.PUSHED_AUTHORIZATION_REQUESTS:
            return []
        if step is CleanupStep.DEVICE_CODES:
            return [value_of(self._device_codes.rows[key].value.payload, DeviceCode, LABEL) for key in present]
        rows = [self._grants.rows[key] for key in present]
        return [row.record.grant for row in rows if not row.pending]

    async def remove(self, step: CleanupStep, ids: Sequence[str], before: datetime) -> int:
        """See `CleanupRecords.remove`."""
        due = self._due(step, before)
        present = [key for key in ids if key in due]
        rows = self._rows(step)
        for key in present:
            del rows[key]
        return len(present)

    def _due(self, step: CleanupStep, before: datetime) -> Mapping[str, datetime]:
        """What is due, and since when."""
        if step is CleanupStep.CONSUMED_GRANTS:
            instants = {key: row.record.grant.consumed_time for key, row in self._grants.rows.items()}
        else:
            instants = {key: row.purge_at for key, row in self._rows(step).items()}
        return {key: instant for key, instant in instants.items() if instant is not None and instant < before}

    def _rows(self, step: CleanupStep) -> dict[str, Any]:
        if step is CleanupStep.DEVICE_CODES:
            return self._device_codes.rows
        if step is CleanupStep.PUSHED_AUTHORIZATION_REQUESTS:
            return self._pushed_requests.rows
        return self._grants.rows
