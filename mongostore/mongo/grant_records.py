"""`GrantRecordStore` on MongoDB: the transitions of a grant, each one conditional write of one document."""

import contextlib
from datetime import datetime
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from mongostore.clock import Clock
from mongostore.errors import AlreadyExists
from mongostore.models import PersistedGrant
from mongostore.models.grants import check_grant
from mongostore.models.identifiers import is_identifier
from mongostore.mongo.binding import Binding
from mongostore.mongo.documents.grants import GrantCodec, GrantFields, is_present
from mongostore.mongo.lookups import find_by_id
from mongostore.mongo.persisted_grants import BY_ID, live, take
from mongostore.mongo.removal import remove_until_none_left
from mongostore.mongo.writes import sent
from mongostore.stores.grant_records import CLOSED_FAMILY_KEPT, GrantRecord

_TAKEN = "a grant with this key exists already; make a new handle"


class MongoGrantRecordStore:
    """Grant records of one tenant in MongoDB."""

    def __init__(self, binding: Binding, codec: GrantCodec, clock: Clock) -> None:
        """Args: the database, what seals and opens, and the time."""
        self._binding = binding
        self._codec = codec
        self._clock = clock

    async def insert(self, record: GrantRecord, *, pending_until: datetime | None = None) -> None:
        """See `GrantRecordStore.insert`."""
        check_grant(record.grant)
        document = await self._document(record, pending_until)
        with self._binding.call("add a grant") as own:
            try:
                await sent(lambda: self._grants.insert_one(document, session=own))
            except DuplicateKeyError as error:
                raise AlreadyExists(_TAKEN) from error

    async def insert_into_family(self, record: GrantRecord) -> bool:
        """See `GrantRecordStore.insert_into_family`.

        One command: the record first, then the look for what `close_family` leaves. Whoever removes a family does so once
        more after closing it: either that finds the record, or this finds the family closed.
        """
        check_grant(record.grant)
        document = await self._document(record)
        stored_id = document.pop("_id")
        closed_id = self._codec.closed_family_id(record.family or "")
        with self._binding.call("add a grant to a family") as own:
            result = await sent(
                lambda: self._grants.bulk_write(
                    [
                        UpdateOne({"_id": stored_id}, {"$setOnInsert": document}, upsert=True),
                        UpdateOne({"_id": closed_id}, {"$set": {"pending": True}}),
                    ],
                    session=own,
                )
            )
            if result.upserted_count == 0:
                raise AlreadyExists(_TAKEN)
            if result.matched_count:
                await sent(lambda: self._grants.delete_one({"_id": stored_id}, session=own))
        return result.matched_count == 0

    async def close_family(self, family: str) -> None:
        """See `GrantRecordStore.close_family`."""
        mark = await self._codec.closed_family(family, self._clock.now() + CLOSED_FAMILY_KEPT)
        with self._binding.call("close a family") as own, contextlib.suppress(DuplicateKeyError):
            # A duplicate is that of somebody who closes it at the same moment.
            await sent(
                lambda: self._grants.update_one(
                    {"_id": self._codec.closed_family_id(family)}, {"$set": mark}, upsert=True, session=own
                )
            )

    async def find(self, key: str) -> GrantRecord | None:
        """See `GrantRecordStore.find`."""
        if not is_identifier(key):
            return None
        found = await find_by_id(self._binding, "read a grant", self._grants, self._codec.id(key))
        return await self._codec.record(found) if found and is_present(found, self._clock.now()) else None

    async def take(self, key: str, *, completed: bool = False) -> GrantRecord | None:
        """See `GrantRecordStore.take`."""
        return await take(self._binding, self._codec, self._clock, key, completed=completed)

    async def update(self, grant: PersistedGrant, *, completed: bool = False) -> bool:
        """See `GrantRecordStore.update`."""
        check_grant(grant)
        change = await self._codec.change(grant, completed=completed)
        with self._binding.call("update a grant") as own:
            result = await sent(
                lambda: self._grants.update_one(
                    live(self._codec.id(grant.key), self._clock.now())
                    | {"pending": None, "type": grant.type, "client_id": grant.client_id},
                    change,
                    hint=BY_ID,
                    session=own,
                )
            )
        return result.matched_count == 1

    async def succeed(self, key: str, *, successor_key: str, successor_handle: str) -> bool:
        """See `GrantRecordStore.succeed`."""
        now = self._clock.now()
        sealed = await self._codec.sealed_successor(key, successor_handle)
        with self._binding.call("rotate a grant") as own:
            result = await sent(
                lambda: self._grants.update_one(
                    live(self._codec.id(key), now) | {"pending": None},
                    {"$set": {"consumed_time": now, "successor_key": successor_key, "successor": sealed}},
                    hint=BY_ID,
                    session=own,
                )
            )
        return result.matched_count == 1

    async def make_live(self, key: str) -> bool:
        """See `GrantRecordStore.make_live`."""
        with self._binding.call("rotate a grant") as own:
            result = await sent(
                lambda: self._grants.update_one(
                    live(self._codec.id(key), self._clock.now()),
                    [{"$set": {"pending": "$$REMOVE", "purge_at": {"$ifNull": ["$expiration", "$$REMOVE"]}}}],
                    hint=BY_ID,
                    session=own,
                )
            )
        return result.matched_count == 1

    async def discard_pending(self, key: str) -> None:
        """See `GrantRecordStore.discard_pending`."""
        with self._binding.call("discard a pending grant") as own:
            await sent(
                lambda: self._grants.delete_one({"_id": self._codec.id(key), "pending": True}, hint=BY_ID, session=own)
            )

    async def remove_family(self, family: str) -> int:
        """See `GrantRecordStore.remove_family`."""
        if not is_identifier(family):
            return 0
        query = {"tenant": self._codec.tenant, "family": family}
        return await remove_until_none_left(self._binding, self._grants, query)

    async def _document(self, record: GrantRecord, pending_until: datetime | None = None) -> dict[str, Any]:
        return await self._codec.document(
            record.grant,
            family=record.family,
            predecessor=record.predecessor,
            completed=record.completed,
            pending_until=pending_until,
        )

    @property
    def _grants(self) -> AsyncCollection[dict[str, Any]]:
        return self._binding.collection(GrantFields)
