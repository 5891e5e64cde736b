"""`PushedAuthorizationRequestStore` on MongoDB: every operation is one command."""

from datetime import timedelta
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists
from mongostore.models import PersistedGrantFilter, PushedAuthorizationRequest
from mongostore.models.grants import check_filter
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import ownership_query
from mongostore.mongo.documents.pushed_requests import PushedRequestCodec, PushedRequestFields
from mongostore.mongo.expiring import insert_over_expired, is_present, present, take
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.removal import delete_all
from mongostore.stores.pushed_requests import PushedAuthorizationRequestStore


class MongoPushedAuthorizationRequestStore(PushedAuthorizationRequestStore):
    """The pushed authorization requests of one tenant in MongoDB."""

    def __init__(
        self, binding: Binding, codec: PushedRequestCodec, clock: Clock, consumed_retention: timedelta
    ) -> None:
        """Args: the database, what seals and opens, the time, and how long consumed requests are kept."""
        self._binding = binding
        self._codec = codec
        self._clock = clock
        self._consumed_retention = consumed_retention

    async def store(self, par: PushedAuthorizationRequest) -> None:
        """See `PushedAuthorizationRequestStore.store`."""
        document = await self._codec.document(par)
        with self._binding.call("store a pushed authorization request") as own:
            try:
                await insert_over_expired(self._requests, document, self._clock.now(), session=own)
            except DuplicateKeyError as error:
                raise AlreadyExists(
                    "a pushed authorization request with this hash exists already; make a new reference value"
                ) from error

    async def get_by_hash(self, hash: str) -> PushedAuthorizationRequest | None:  # noqa: A002 - the reference's name
        """See `PushedAuthorizationRequestStore.get_by_hash`."""
        stored_id = self._codec.id_of(hash)
        if stored_id is None:
            return None
        found = await find_by_id(self._binding, "read a pushed authorization request", self._requests, stored_id)
        return await self._codec.value(found) if found and is_present(found, self._clock.now()) else None

    async def consume_by_hash(self, hash: str) -> PushedAuthorizationRequest | None:  # noqa: A002 - as above
        """See `PushedAuthorizationRequestStore.consume_by_hash`."""
        stored_id = self._codec.id_of(hash)
        if stored_id is None:
            return None
        now = self._clock.now()
        with self._binding.call("consume a pushed authorization request") as own:
            found = await take(self._requests, present(stored_id, now), now, self._consumed_retention, session=own)
        return await self._codec.value(found) if found and is_present(found, now) else None

    async def remove_all(self, filter: PersistedGrantFilter) -> int:  # noqa: A002 - as in `PersistedGrantStore`
        """Remove the requests of a subject, session or clients; see `PushedAuthorizationRequestStore.remove_all`."""
        wanted = check_filter(filter)
        query = ownership_query(self._codec.tenant, wanted)
        return await delete_all(self._binding, self._requests, query) if query else 0

    @property
    def _requests(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(PushedRequestFields)
