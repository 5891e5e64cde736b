"""Leases: a job that one node may do at a time, until it is done or the node is gone.

One mechanism for the schema, key rotation, cleanup, session expiry and migrations. Time is the server's, so the nodes'
clocks don't matter. A paused node can still believe in a lease that has passed on; where that could do harm, the writes of
the job carry the lease's fence and refuse a smaller one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import timedelta
from secrets import token_hex
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from mongostore.errors import MongostoreError, StorageUnavailable
from mongostore.models.identifiers import check_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
from mongostore.mongo.documents.leases import LeaseFields
from mongostore.tenancy import DEFAULT_TENANT

_log = logging.getLogger(__name__)

# Every query here finds by `_id`, so leases work before any index exists.
_RUNNING: dict[str, Any] = {"$expr": {"$gt": ["$expires", "$$NOW"]}}
_OVER: dict[str, Any] = {"$expr": {"$lte": ["$expires", "$$NOW"]}}
# A third leaves room for two failed renewals.
_RENEWALS_PER_DURATION = 3
_LONGEST_POLL_SECONDS = 0.25

Enter = Callable[[], Awaitable[AbstractContextManager[object]]]


class Lease:
    """A lease that was acquired. It may have passed on since: `holds` asks.

    Attributes:
        name: the job.
        owner: a random name of this acquisition.
        fence: larger than that of every earlier holder.
    """

    def __init__(self, binding: Binding, stored_id: str, duration: timedelta, owner: str, fence: int) -> None:
        self.name = stored_id.partition("|")[2]
        self.owner = owner
        self.fence = fence
        self._binding = binding
        self._duration = duration
        self._mine: dict[str, Any] = {"_id": stored_id, "owner": owner}

    async def renew(self) -> bool:
        """Let the duration begin anew; False when the lease has expired, even if nobody has taken it since."""
        with self._binding.call(f"renew the lease {self.name!r}") as own:
            renewed = await self._binding.collection(LeaseFields).update_one(
                self._mine | _RUNNING, [{"$set": {"expires": _after(self._duration)}}], session=own
            )
        return renewed.matched_count == 1

    async def holds(self) -> bool:
        """True while the lease has not expired, by the server's clock."""
        with self._binding.call(f"check the lease {self.name!r}") as own:
            found = await self._binding.collection(LeaseFields).find_one(self._mine | _RUNNING, {"_id": 1}, session=own)
        return found is not None

    async def release(self) -> None:
        """Let the next one have it now; nothing happens when somebody else has it already."""
        with self._binding.call(f"release the lease {self.name!r}") as own:
            # The record stays, and the fence with it.
            await self._binding.collection(LeaseFields).update_one(
                self._mine | _RUNNING, [{"$set": {"expires": "$$NOW"}}], session=own
            )

    def __repr__(self) -> str:
        return f"<Lease {self.name!r}, fence {self.fence}>"


class Leases:
    """The leases of one tenant."""

    def __init__(self, binding: Binding, tenant: str = DEFAULT_TENANT, enter: Enter | None = None) -> None:
        """Args: the deployment's own database; whose leases; what a record of the tenant has to wait for."""
        self._binding = binding
        self._tenant = tenant
        self._enter = enter

    async def acquire(self, name: str, duration: timedelta) -> Lease | None:
        """Take the lease unless somebody holds it: exactly one of any number of callers gets it.

        Args:
            name: the job.
            duration: how long it lasts without renewal; many times a round trip, and the clock skew of the members.

        Returns:
            The lease, or None when somebody else has it.
        """
        if duration <= timedelta(0):
            raise ValueError(f"duration must be positive, not {duration}")
        if self._enter is None:
            return await self._acquire(name, duration)
        with await self._enter():
            return await self._acquire(name, duration)

    async def _acquire(self, name: str, duration: timedelta) -> Lease | None:
        stored_id = record_id(self._tenant, check_identifier("name", name))
        owner = token_hex(16)
        taken: dict[str, Any] = {"owner": owner, "expires": _after(duration)}
        collection = self._binding.collection(LeaseFields)
        with self._binding.call(f"acquire the lease {name!r}") as own:
            found = await collection.find_one_and_update(
                {"_id": stored_id} | _OVER,
                [{"$set": taken | {"fence": {"$add": ["$fence", 1]}}}],
                return_document=ReturnDocument.AFTER,
                session=own,
            )
            if found is not None:
                return Lease(self._binding, stored_id, duration, owner, found["fence"])
            try:
                # Matches no lease that exists, so that one makes the insert collide. ($expr can't be in an upsert.)
                await collection.update_one(
                    {"_id": stored_id, "owner": {"$exists": False}},
                    [{"$set": taken | {"tenant": self._tenant, "fence": 1}}],
                    upsert=True,
                    session=own,
                )
            except DuplicateKeyError:
                return None
        return Lease(self._binding, stored_id, duration, owner, 1)

    @asynccontextmanager
    async def hold(
        self,
        name: str,
        duration: timedelta,
        wait: timedelta = timedelta(0),
        *,
        on_wait: Callable[[timedelta], None] | None = None,
    ) -> AsyncIterator[Lease]:
        """Run the block under the lease, which is renewed meanwhile and released in the end.

        The block is cancelled where the lease may have passed on: when a renewal is refused, or when none succeeded for a
        whole duration.

        Args:
            name: the job.
            duration: how long another node waits after this one is gone.
            wait: how long to wait while somebody else has it.
            on_wait: is told, several times a second, for how long it has waited.

        Raises:
            StorageUnavailable: somebody else has it, or it was lost within the block.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            asked = loop.time()
            lease = await self.acquire(name, duration)
            if lease is not None:
                break
            waited = timedelta(seconds=loop.time() - begun)
            if waited >= wait:
                raise StorageUnavailable(f"the lease {name!r} is held by another process; try again when it is done")
            if on_wait is not None:
                on_wait(waited)
            await asyncio.sleep(min(_LONGEST_POLL_SECONDS, duration.total_seconds() / 10))
        limit = asyncio.timeout_at(asked + duration.total_seconds())
        try:
            async with limit:
                renewal = asyncio.create_task(_keep(lease, duration, limit))
                try:
                    yield lease
                finally:
                    renewal.cancel()
                    await asyncio.wait([renewal])
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StorageUnavailable(
                f"the lease {name!r} was lost before the work was done; what was left of it was not begun. Try again"
            ) from error
        finally:
            await _release(lease)


async def _keep(lease: Lease, duration: timedelta, limit: asyncio.Timeout) -> None:
    """Renew, and move the block's limit along: it never is later than the server's."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(duration.total_seconds() / _RENEWALS_PER_DURATION)
        asked = loop.time()
        try:
            renewed = await lease.renew()
        except MongostoreError as error:
            _log.warning("%s; the lease is kept until its limit", error)
            continue
        if limit.expired():
            return
        limit.reschedule(asked + duration.total_seconds() if renewed else asked)
        if not renewed:
            return


async def _release(lease: Lease) -> None:
    try:
        await lease.release()
    except MongostoreError as error:
        # The work is done, or failed with an error of its own; the lease expires by itself.
        _log.warning("%s; it expires by itself", error)


def _after(duration: timedelta) -> dict[str, Any]:
    return {"$add": ["$$NOW", round(duration.total_seconds() * 1000)]}
