"""`CleanupRecords` on MongoDB: records whose time is over, found by the index that the TTL uses, removed by `_id`."""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from mongostore.errors import PayloadUnreadable
from mongostore.models import DeviceCode, PersistedGrant
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.base import StoredFields
from mongostore.mongo.documents.configuration import tenant_ids
from mongostore.mongo.documents.device_codes import DeviceCodeCodec, DeviceCodeFields
from mongostore.mongo.documents.grants import GrantCodec, GrantFields
from mongostore.mongo.documents.pushed_requests import PushedRequestFields
from mongostore.mongo.expiring import BY_ID
from mongostore.stores.cleanup import CleanupStep

_log = logging.getLogger("mongostore")

_BY_EXPIRY: Final = {"purge_at": 1}
_PAGE: Final = 1_000

_FIELDS: Mapping[CleanupStep, type[StoredFields]] = {
    CleanupStep.GRANTS: GrantFields,
    CleanupStep.CONSUMED_GRANTS: GrantFields,
    CleanupStep.DEVICE_CODES: DeviceCodeFields,
    CleanupStep.PUSHED_AUTHORIZATION_REQUESTS: PushedRequestFields,
}


class MongoCleanupRecords:
    """What one tenant has in MongoDB and nobody is served by."""

    def __init__(self, binding: Binding, grants: GrantCodec, device_codes: DeviceCodeCodec) -> None:
        """Args: the database, and what opens the records that somebody is told of."""
        self._binding = binding
        self._grants = grants
        self._device_codes = device_codes

    async def due(self, step: CleanupStep, before: datetime, batch_size: int) -> AsyncGenerator[list[str], None]:
        """See `CleanupRecords.due`."""
        find = self._consumed if step is CleanupStep.CONSUMED_GRANTS else self._expired
        async for ids in find(step, before, batch_size):
            yield ids

    async def read(
        self, step: CleanupStep, ids: Sequence[str], before: datetime
    ) -> Sequence[PersistedGrant] | Sequence[DeviceCode]:
        """See `CleanupRecords.read`."""
        if step is CleanupStep.PUSHED_AUTHORIZATION_REQUESTS:
            return []
        with self._binding.call(f"read {step} to be removed") as own:
            found = (
                await self._collection(step)
                .find(_still_due(step, ids, before) | {"pending": None}, session=own)
                .to_list()
            )
        order = {stored_id: place for place, stored_id in enumerate(ids)}
        found.sort(key=lambda document: order[document["_id"]])
        items: list[Any] = []
        damage: list[PayloadUnreadable] = []
        for document in found:
            try:
                items.append(await self._opened(step, document))
            except PayloadUnreadable as error:
                damage.append(error)
        if damage:
            _log.error("%d of %d %s can't be read and are removed untold: %s", len(damage), len(found), step, damage[0])
        return items

    async def remove(self, step: CleanupStep, ids: Sequence[str], before: datetime) -> int:
        """See `CleanupRecords.remove`."""
        with self._binding.call(f"remove {step}") as own:
            result = await self._collection(step).delete_many(_still_due(step, ids, before), hint=BY_ID, session=own)
        return result.deleted_count

    async def _expired(self, step: CleanupStep, before: datetime, batch_size: int) -> AsyncGenerator[list[str], None]:
        # The index has no tenant, so it passes what is due of other tenants, too: the TTL keeps that little.
        query = {"tenant": self._grants.tenant, **_condition(step, before)}
        while True:
            with self._binding.call(f"look for expired {step}") as own:
                found = (
                    await self._collection(step)
                    # Negative: one answer and no cursor.
                    .find(
                        query,
                        {"_id": 1},
                        sort=[("purge_at", ASCENDING)],
                        limit=-batch_size,
                        hint=_BY_EXPIRY,
                        session=own,
                    )
                    .to_list()
                )
            if found:
                yield [document["_id"] for document in found]
            if len(found) < batch_size:
                return

    async def _consumed(self, step: CleanupStep, before: datetime, batch_size: int) -> AsyncGenerator[list[str], None]:
        """By walking through all grants, page by page: an index would cost every consumption, of all who don't do this."""
        collection = self._collection(step)
        waiting: list[str] = []
        after: str | None = None
        while True:
            ids = tenant_ids(self._grants.tenant, after)
            with self._binding.call(f"look for {step}") as own:
                # The index alone tells where the page ends.
                end = await collection.find_one(
                    {"_id": ids}, {"_id": 1}, sort=[("_id", ASCENDING)], skip=_PAGE - 1, hint=BY_ID, session=own
                )
                if end is not None:
                    ids = {"$gt": ids["$gt"], "$lte": end["_id"]}
                page = {"_id": ids, **_condition(step, before)}
                found = await collection.find(
                    page, {"_id": 1}, sort=[("_id", ASCENDING)], batch_size=_PAGE, hint=BY_ID, session=own
                ).to_list()
            waiting += [document["_id"] for document in found]
            while len(waiting) >= batch_size:
                batch, waiting = waiting[:batch_size], waiting[batch_size:]
                yield batch
            if end is None:
                break
            after = end["_id"]
        if waiting:
            yield waiting

    async def _opened(self, step: CleanupStep, document: dict[str, Any]) -> PersistedGrant | DeviceCode:
        if step is CleanupStep.DEVICE_CODES:
            return await self._device_codes.value(document)
        return await self._grants.grant(document)

    def _collection(self, step: CleanupStep) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(_FIELDS[step])


def _condition(step: CleanupStep, before: datetime) -> dict[str, Any]:
    return {"consumed_time" if step is CleanupStep.CONSUMED_GRANTS else "purge_at": {"$lt": before}}


def _still_due(step: CleanupStep, ids: Sequence[str], before: datetime) -> dict[str, Any]:
    return {"_id": {"$in": list(ids)}, **_condition(step, before)}
