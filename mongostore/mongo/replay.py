"""`ReplayCache` on MongoDB: either operation is one command."""

from datetime import datetime
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.models.identifiers import check_identifier, is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import record_id
from mongostore.mongo.documents.replay import ReplayFields
from mongostore.mongo.expiring import insert_over_expired, is_present
from mongostore.mongo.lookups import find_by_id
from mongostore.stores.handles import check_handle, hashed, is_handle
from mongostore.stores.replay import remembered_until
from mongostore.tenancy import Tenant


class MongoReplayCache:
    """The handles that one tenant has seen, in MongoDB."""

    def __init__(self, binding: Binding, tenant: Tenant, clock: Clock) -> None:
        """Args: the database, whose handles, and the time."""
        self._binding = binding
        self._tenant = tenant
        self._clock = clock

    async def add(self, purpose: str, handle: str, expires_at: datetime) -> bool:
        """See `ReplayCache.add`."""
        now = self._clock.now()
        document = {
            "_id": self._id(check_identifier("purpose", purpose), check_handle("handle", handle)),
            "tenant": self._tenant,
            "purge_at": remembered_until(expires_at, now),
        }
        with self._binding.call("remember a handle") as own:
            try:
                await insert_over_expired(self._handles, document, now, session=own)
            except DuplicateKeyError:
                return False
        return True

    async def exists(self, purpose: str, handle: str) -> bool:
        """See `ReplayCache.exists`."""
        if not (is_handle("handle", handle) and is_identifier(purpose)):
            return False
        found = await find_by_id(self._binding, "look for a handle", self._handles, self._id(purpose, handle))
        return is_present(found, self._clock.now())

    def _id(self, purpose: str, handle: str) -> str:
        return record_id(self._tenant, hashed(purpose, handle))

    @property
    def _handles(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(ReplayFields)
