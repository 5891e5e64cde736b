"""What the cleanup service needs of a backend: the records whose time is over, in batches, and their removal."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from mongostore.clock import Clock
from mongostore.models import DeviceCode, PersistedGrant
from mongostore.stores.leases import JobLeases
from mongostore.tenancy import DEFAULT_TENANT, Tenant


class CleanupStep(StrEnum):
    """What is cleaned up, in this order.

    A record is due before an instant when its `purge_at` is earlier (expired, or consumed and no longer retained);
    in `CONSUMED_GRANTS`, when it was consumed earlier, whatever else is true of it.
    """

    GRANTS = "grants"
    CONSUMED_GRANTS = "consumed_grants"
    DEVICE_CODES = "device_codes"
    PUSHED_AUTHORIZATION_REQUESTS = "pushed_authorization_requests"


class CleanupRecords(Protocol):
    """The records of one tenant whose time is over."""

    def due(self, step: CleanupStep, before: datetime, batch_size: int) -> AsyncGenerator[list[str], None]:
        """The ids of records that are due, batch by batch: each is to be removed before the next is asked for.

        All but the last have `batch_size`. Expired ones come in the order of their instants, and one that was added
        meanwhile comes with a later batch, as long as batches are full; consumed ones come in no particular order.
        """

    async def read(
        self, step: CleanupStep, ids: Sequence[str], before: datetime
    ) -> Sequence[PersistedGrant] | Sequence[DeviceCode]:
        """What those of the records hold that are still due; nothing for steps of which nobody is told.

        Grants that never became visible are left out, and damaged records, which are logged.

        Raises:
            KeyUnavailable: a data key is missing.
        """

    async def remove(self, step: CleanupStep, ids: Sequence[str], before: datetime) -> int:
        """Remove those of the records that are still due, and give their number."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What the cleanup service gets of a tenant's stores.

    Attributes:
        records: what is to be cleaned up.
        leases: keep nodes from doing the same work.
        clock: tells the time.
        tenant: whose stores they are.
    """

    records: CleanupRecords
    leases: JobLeases
    clock: Clock
    tenant: Tenant = DEFAULT_TENANT


class CleanedStores(Protocol):
    """A `MongoStore`, a `MemoryStore`, or the stores of a tenant."""

    _cleanup: Cleanup
