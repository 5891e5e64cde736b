"""Keeps a lease while its holder works, however long a step takes, and frees it in the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from mongostore.cancellation import Cancellation
from mongostore.errors import MongostoreError
from mongostore.stores.leases import JobLease, JobLeases

_log = logging.getLogger("mongostore")

# A third leaves room for two failed renewals.
_RENEWALS_PER_LEASE = 3


class KeptLease:
    """A lease that is renewed in the background.

    It counts as lost when a renewal was refused, and when none succeeded for as long as the lease lasts: the process may
    have been stopped, or cut off from the database.
    """

    def __init__(self, lease: JobLease, duration: timedelta, acquired_at: float) -> None:
        """Args: the lease; how long it lasts; when it was asked for, by the event loop's clock."""
        self._lease = lease
        self._seconds = duration.total_seconds()
        self._until = acquired_at + self._seconds

    @property
    def is_lost(self) -> bool:
        """Whether another node may have the lease. No I/O."""
        return asyncio.get_running_loop().time() >= self._until

    async def renew(self) -> bool:
        """Renew the lease now: False when it is lost.

        Raises:
            StorageUnavailable: the database did not answer; the lease may still be held.
        """
        if self.is_lost:
            return False
        asked = asyncio.get_running_loop().time()
        self._until = asked + (self._seconds if await self._lease.renew() else 0)
        return not self.is_lost

    async def keep(self) -> None:
        """Renew the lease again and again until it is lost."""
        cancellation = Cancellation()
        while not self.is_lost:
            await asyncio.sleep(self._seconds / _RENEWALS_PER_LEASE)
            try:
                await self.renew()
            except MongostoreError as error:
                _log.warning("%s; it is tried again before the lease ends", error)
                cancellation.check()

    async def release(self) -> None:
        """Let the next one have it now."""
        try:
            await self._lease.release()
        except MongostoreError as error:
            # Nothing may take the place of a cancellation or of the work's own error; the lease expires by itself.
            _log.warning("%s; it expires by itself", error)


@asynccontextmanager
async def keep_lease(leases: JobLeases, name: str, duration: timedelta) -> AsyncIterator[KeptLease | None]:
    """Hold the lease of a job for as long as the block lasts; `None` when another holder has it.

    Args:
        leases: where to acquire it.
        name: the job.
        duration: how long the lease lasts without renewal.

    Raises:
        StorageUnavailable: the database did not answer when the lease was to be acquired.
    """
    asked = asyncio.get_running_loop().time()
    lease = await leases.acquire(name, duration)
    if lease is None:
        yield None
        return
    held = KeptLease(lease, duration, asked)
    renewal = asyncio.create_task(held.keep())
    try:
        yield held
    finally:
        renewal.cancel()
        await asyncio.wait([renewal])
        await held.release()
